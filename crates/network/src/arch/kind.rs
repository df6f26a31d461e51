//! The names of the network architectures.

use serde::{Deserialize, Serialize};

/// The architectures. A new one needs a line here, and a file of its name beside this one.
macro_rules! architectures {
    ($with:ident) => {
        $with! {
            /// Three blocks, then two linear layers on all of their outputs: the reference network.
            #[default]
            Cnn3d = "cnn3d" in cnn3d;
            /// The same blocks, then the mean of each channel: a thousandth of the parameters, and
            /// volumes of any size.
            Cnn3dGap = "cnn3d_gap" in cnn3d_gap;
        }
    };
}
pub(super) use architectures;

macro_rules! declare {
    ($($(#[$doc:meta])* $variant:ident = $name:literal in $file:ident;)*) => {
        /// A network architecture.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
        pub enum Arch {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Arch {
            /// All names, for parameters.
            pub const NAMES: &'static [&'static str] = &[$($name),*];

            /// Its name, as in `arch:` and in `model.json`.
            pub fn name(self) -> &'static str {
                match self { $(Arch::$variant => $name,)* }
            }
        }
    };
}

architectures!(declare);

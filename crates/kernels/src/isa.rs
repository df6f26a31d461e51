//! Selects the instruction set of this process at run time.

use std::env::VarError;
use std::fmt;
use std::sync::OnceLock;

#[cfg(target_arch = "aarch64")]
use crate::simd::Neon;
use crate::simd::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{Avx2, Avx512};

/// The environment variable that forces an instruction set.
pub const VARIABLE: &str = "CTPIPE_ISA";

/// An instruction set that this processor supports.
#[derive(Clone, Copy)]
pub struct Isa(pub(crate) Token);

/// The proof that the processor supports it.
#[derive(Clone, Copy)]
pub(crate) enum Token {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

/// Why an instruction set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IsaError {
    /// The name is unknown.
    #[error("unknown instruction set \"{0}\"; expected portable, avx2, avx512 or neon")]
    Unknown(String),
    /// The processor does not support it.
    #[error("this processor has no {0}; it has {1}")]
    Missing(&'static str, String),
}

const NAMES: [&str; 4] = ["portable", "avx2", "avx512", "neon"];

impl Isa {
    /// All instruction sets that this processor supports, the fastest last.
    pub fn available() -> Vec<Isa> {
        let mut all = vec![Isa::portable()];
        // Miri supports only the oldest vector instructions.
        if cfg!(miri) {
            return all;
        }
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Avx2::detect().map(|token| Isa(Token::Avx2(token))));
            all.extend(Avx512::detect().map(|token| Isa(Token::Avx512(token))));
        }
        #[cfg(target_arch = "aarch64")]
        all.extend(Neon::detect().map(|token| Isa(Token::Neon(token))));
        all
    }

    /// Plain Rust, which runs on every processor.
    pub fn portable() -> Isa {
        Isa(Token::Portable(Portable))
    }

    /// The instruction set with the given name.
    ///
    /// # Errors
    /// When the name is unknown, or the processor does not support it.
    pub fn named(name: &str) -> Result<Isa, IsaError> {
        let Some(&known) = NAMES.iter().find(|known| **known == name) else {
            return Err(IsaError::Unknown(name.to_owned()));
        };
        let available = Isa::available();
        available.iter().copied().find(|isa| isa.name() == known).ok_or_else(|| {
            let names: Vec<&str> = available.iter().map(|isa| isa.name()).collect();
            IsaError::Missing(known, names.join(", "))
        })
    }

    /// The fastest instruction set, or the one that `CTPIPE_ISA` names; determined once.
    ///
    /// # Errors
    /// When the variable does not name an instruction set that the processor supports.
    pub fn chosen() -> Result<Isa, IsaError> {
        static CHOSEN: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        CHOSEN
            .get_or_init(|| {
                // A machine's owner sets the variable, to compare two machines or to work around a
                // fault. It is part of the facts that enter a stage's key, so it shows in every
                // result.
                #[allow(clippy::disallowed_methods)]
                match std::env::var(VARIABLE) {
                    Ok(name) if !name.is_empty() => Isa::named(&name),
                    Err(VarError::NotUnicode(name)) => Err(IsaError::Unknown(name.display().to_string())),
                    _ => Ok(Isa::available().pop().unwrap_or(Isa::portable())),
                }
            })
            .clone()
    }

    /// Whether it multiplies and adds with one rounding. All instruction sets that do give the same
    /// bits.
    pub fn fuses(self) -> bool {
        !matches!(self.0, Token::Portable(_))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self.0 {
            Token::Portable(_) => "portable",
            #[cfg(target_arch = "x86_64")]
            Token::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Token::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Token::Neon(_) => "neon",
        }
    }
}

impl fmt::Debug for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Turns a function that is generic over `Simd` into one that takes an [`Isa`] first: it is
/// compiled once for each instruction set, and selected at run time.
macro_rules! kernel {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) = $body:ident) => {
        $(#[$meta])*
        $vis fn $name(isa: $crate::isa::Isa, $($arg: $type),*) {
            use $crate::isa::Token;
            match isa.0 {
                Token::Portable(s) => $body(s, $($arg),*),
                #[cfg(target_arch = "x86_64")]
                Token::Avx2(s) => {
                    #[target_feature(enable = "avx2,fma")]
                    fn on(s: $crate::simd::Avx2, $($arg: $type),*) {
                        $body(s, $($arg),*);
                    }
                    // SAFETY: the token proves that the processor has these instructions.
                    unsafe { on(s, $($arg),*) }
                }
                #[cfg(target_arch = "x86_64")]
                Token::Avx512(s) => {
                    #[target_feature(enable = "avx512f,avx2,fma")]
                    fn on(s: $crate::simd::Avx512, $($arg: $type),*) {
                        $body(s, $($arg),*);
                    }
                    // SAFETY: the token proves that the processor has these instructions.
                    unsafe { on(s, $($arg),*) }
                }
                #[cfg(target_arch = "aarch64")]
                Token::Neon(s) => $body(s, $($arg),*),
            }
        }
    };
}
pub(crate) use kernel;

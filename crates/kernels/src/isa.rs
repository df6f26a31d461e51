//! Which instructions this process computes with, decided at run time.

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

/// An instruction set that this processor has.
#[derive(Clone, Copy)]
pub struct Isa(pub(crate) Token);

/// The proof of it.
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
    /// Not a name of one.
    #[error("unknown instruction set \"{0}\"; expected portable, avx2, avx512 or neon")]
    Unknown(String),
    /// The processor lacks it.
    #[error("this processor has no {0}; it has {1}")]
    Missing(&'static str, String),
}

const NAMES: [&str; 4] = ["portable", "avx2", "avx512", "neon"];

impl Isa {
    /// All that this processor has, the fastest last.
    pub fn available() -> Vec<Isa> {
        let mut all = vec![Isa::portable()];
        // Miri knows no vector instructions beyond the first few.
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

    /// Plain Rust, which every processor can.
    pub fn portable() -> Isa {
        Isa(Token::Portable(Portable))
    }

    /// The one of this name.
    ///
    /// # Errors
    /// When there is none of this name, or the processor lacks it.
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

    /// The fastest, or the one that `CTPIPE_ISA` names; asked once.
    ///
    /// # Errors
    /// When the variable names none that the processor has.
    pub fn chosen() -> Result<Isa, IsaError> {
        static CHOSEN: OnceLock<Result<Isa, IsaError>> = OnceLock::new();
        CHOSEN
            .get_or_init(|| {
                // A machine's owner sets it, to compare two machines or to get around a fault; it is
                // part of the facts that a stage's key is made of, so no result hides it.
                #[allow(clippy::disallowed_methods)]
                match std::env::var(VARIABLE) {
                    Ok(name) if !name.is_empty() => Isa::named(&name),
                    Err(VarError::NotUnicode(name)) => Err(IsaError::Unknown(name.display().to_string())),
                    _ => Ok(Isa::available().pop().unwrap_or(Isa::portable())),
                }
            })
            .clone()
    }

    /// Whether it multiplies and adds with one rounding. Those that do give the same bits.
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

/// Makes a function that takes an [`Isa`] first out of one that is generic over `Simd`: compiled
/// once with each instruction set and picked at run time.
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

//! What identifies a patient, and the keyed hash that stands for the identifier. The identifier
//! itself goes no further than this file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Which series belong to one patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatientIs {
    /// Series with the same (0010,0020) Patient ID; if it is empty, series of the same study.
    PatientId,
    /// Series of the same study.
    Study,
    /// Series with the same text in this column of the labels; a series without one is rejected.
    Column(String),
}

impl PatientIs {
    /// `patient_id`, `study`, or the name of a column.
    pub fn parse(text: &str) -> PatientIs {
        match text {
            "patient_id" => PatientIs::PatientId,
            "study" => PatientIs::Study,
            column => PatientIs::Column(column.to_owned()),
        }
    }
}

/// BLAKE3 keyed with the secret of the key file.
pub(crate) struct Hasher {
    key: [u8; 32],
}

/// Separates this use of the secret from all others (BLAKE3's derive-key mode).
const CONTEXT: &str = "ctpipe 2026 patient key";
/// Length of a new secret, in bytes.
const SECRET: usize = 32;

impl Hasher {
    /// Reads the key file, which may hold any bytes that are not all white space.
    pub(crate) fn open(path: &Path) -> Result<Hasher, String> {
        let secret =
            fs::read(path).map_err(|e| format!("cannot read the patient key {}: {e}", path.display()))?;
        if secret.trim_ascii().is_empty() {
            let path = path.display();
            return Err(format!(
                "the patient key {path} is empty; restore it, or delete it so that a new one is made"
            ));
        }
        Ok(Hasher { key: blake3::derive_key(CONTEXT, secret.trim_ascii()) })
    }

    /// 128 bits in hexadecimal; equal for equal kind, identifier and key.
    pub(crate) fn hash(&self, kind: &str, identifier: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(kind.as_bytes()).update(b"\0").update(identifier.as_bytes());
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

/// Makes a key file that only its owner can read.
pub(crate) fn make_key(path: &Path) -> io::Result<()> {
    let mut secret = [0; SECRET];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{}", blake3::Hash::from_bytes(secret).to_hex())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_made_key_is_private_and_each_is_another() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("x/a"), dir.path().join("b"));
        make_key(&a).unwrap();
        make_key(&b).unwrap();
        assert_eq!(fs::metadata(&a).unwrap().permissions().mode() & 0o777, 0o600);
        let hash = |path: &Path| Hasher::open(path).unwrap().hash("patient", "P1");
        assert_eq!(hash(&a), hash(&a));
        assert_ne!(hash(&a), hash(&b));
        assert!(make_key(&a).is_err(), "a key that is there is never replaced");
    }
}

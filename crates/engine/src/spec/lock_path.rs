//! The path of the lock of a pipeline file.

use std::path::{Path, PathBuf};

/// The lock of a pipeline file and a profile: `pipeline.lock`, `pipeline.demo.lock`.
pub(crate) fn lock_path(pipeline: &Path, profile: Option<&str>) -> PathBuf {
    let stem = pipeline.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let plain = |c: char| if c.is_alphanumeric() || "-_+=@".contains(c) { c } else { '_' };
    let profile = profile.map(|name| format!(".{}", name.chars().map(plain).collect::<String>()));
    pipeline.with_file_name(format!("{stem}{}.lock", profile.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_has_a_lock_of_its_own_and_its_name_is_never_a_path() {
        let path = |profile| lock_path(Path::new("x/pipeline.yaml"), profile).display().to_string();
        assert_eq!(path(None), "x/pipeline.lock");
        assert_eq!(path(Some("demo")), "x/pipeline.demo.lock");
        assert_eq!(path(Some("../up")), "x/pipeline.___up.lock");
    }
}

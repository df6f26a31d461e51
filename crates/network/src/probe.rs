//! Checks in the file system whether CUDA's requirements are met. Calling the driver's library
//! where it is missing, or compiling a kernel without the toolkit, ends in a panic.

use std::fs;
use std::path::{Path, PathBuf};

/// Where libraries are found, in addition to the toolkit's own folder.
const LIBRARIES: [&str; 7] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "usr/lib64",
    "usr/lib/wsl/lib",
    "lib/x86_64-linux-gnu",
    "usr/local/nvidia/lib64",
    "usr/lib",
];
/// Where the toolkit is found; CubeCL looks in the same places.
const TOOLKITS: [&str; 2] = ["usr/local/cuda", "opt/cuda"];

/// The environment variables that concern CUDA.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    /// `CUDA_VISIBLE_DEVICES`.
    pub(crate) visible: Option<String>,
    /// `CUDA_PATH`.
    pub(crate) toolkit: Option<PathBuf>,
    /// The folders of `LD_LIBRARY_PATH`.
    pub(crate) libraries: Vec<PathBuf>,
}

impl Environment {
    /// The environment of this process. It affects where work is done, and not its result.
    #[allow(clippy::disallowed_methods)]
    pub(crate) fn of_this_process() -> Environment {
        let folders = std::env::var_os("LD_LIBRARY_PATH");
        Environment {
            visible: std::env::var("CUDA_VISIBLE_DEVICES").ok(),
            toolkit: std::env::var_os("CUDA_PATH").map(PathBuf::from),
            libraries: folders.map(|folders| std::env::split_paths(&folders).collect()).unwrap_or_default(),
        }
    }
}

/// Why the GPU with this index cannot be used, or `None` if it can; `root` is `/`.
pub(crate) fn missing(root: &Path, environment: &Environment, index: usize) -> Option<String> {
    let gpus = gpus(root);
    if gpus == 0 {
        return Some("there is no NVIDIA GPU with a driver".to_owned());
    }
    let visible = match &environment.visible {
        Some(names) => names.split(',').filter(|name| !name.trim().is_empty()).count().min(gpus),
        None => gpus,
    };
    if visible == 0 {
        return Some("CUDA_VISIBLE_DEVICES hides every GPU".to_owned());
    }
    if index >= visible {
        return Some(format!("there is no GPU {index}: they are numbered from 0 to {}", visible - 1));
    }
    let toolkit = toolkit(root, environment);
    let mut folders: Vec<PathBuf> = environment.libraries.clone();
    folders.extend(
        toolkit
            .iter()
            .flat_map(|path| ["lib64", "lib", "targets/x86_64-linux/lib"].map(|end| path.join(end))),
    );
    folders.extend(LIBRARIES.map(|folder| root.join(folder)));
    let has = |name: &str| folders.iter().any(|folder| holds(folder, name));
    if !has("libcuda.so") {
        return Some("the driver's library libcuda.so is missing".to_owned());
    }
    if toolkit.is_none() || !has("libnvrtc.so") {
        return Some(
            "there is a GPU, but not the CUDA toolkit that compiles its kernels: install it, or set CUDA_PATH"
                .to_owned(),
        );
    }
    None
}

/// Number of GPUs that have a device file.
fn gpus(root: &Path) -> usize {
    let entries = fs::read_dir(root.join("dev")).into_iter().flatten().flatten();
    let is_gpu = |name: &str| {
        let number = name.strip_prefix("nvidia");
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    entries.filter(|entry| entry.file_name().to_str().is_some_and(is_gpu)).count()
}

fn toolkit(root: &Path, environment: &Environment) -> Option<PathBuf> {
    let usual = TOOLKITS.iter().map(|path| root.join(path));
    let distribution = root.join("usr/bin/nvcc").exists().then(|| root.join("usr"));
    environment.toolkit.iter().cloned().chain(usual).find(|path| path.exists()).or(distribution)
}

fn holds(folder: &Path, name: &str) -> bool {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(|file| file.starts_with(name)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_one_after_the_other() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        let mut environment = Environment::default();
        let said = |environment: &Environment, index: usize| {
            missing(root.path(), environment, index).unwrap_or_else(|| "nothing".to_owned())
        };
        put("dev/nvidiactl");
        put("dev/nvidia-uvm");
        assert!(said(&environment, 0).contains("no NVIDIA GPU"));
        put("dev/nvidia0");
        put("dev/nvidia1");
        assert!(said(&environment, 0).contains("libcuda.so is missing"));
        put("usr/lib/x86_64-linux-gnu/libcuda.so.1");
        assert!(said(&environment, 0).contains("install it, or set CUDA_PATH"));
        put("opt/tools/lib64/libnvrtc.so.13");
        environment.toolkit = Some(root.path().join("opt/tools"));
        assert_eq!(said(&environment, 1), "nothing");
        assert!(said(&environment, 2).contains("no GPU 2: they are numbered from 0 to 1"));
        environment.visible = Some("1".to_owned());
        assert_eq!(said(&environment, 0), "nothing");
        assert!(said(&environment, 1).contains("from 0 to 0"));
        environment.visible = Some(String::new());
        assert!(said(&environment, 0).contains("CUDA_VISIBLE_DEVICES hides"));
    }
}

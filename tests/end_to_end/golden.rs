//! Content digests that must not change by accident. If one does, the stage writes other bytes for
//! the same input, and its `VERSION` has to be raised together with the digest here.
//!
//! Train and the stages after it are left out: their last digits depend on the processor (its
//! instruction set and its caches decide the order of sums), which the manifest records. The
//! report's own tests check it on fixed inputs.

use crate::harness::Sandbox;

#[test]
fn the_same_phantoms_give_the_same_bytes_as_ever() {
    let sandbox = Sandbox::new();
    sandbox.ctpipe(&["run", "--to", "split"]).expect(0);
    let golden = [
        ("ingest", 6, "9e8ee4f962a05e7f4b3ea2303716773e9af8c8c24d84048564af4fdad2de34b4"),
        ("preprocess", 5, "79147eedcc5d5267ac2f07c28ccc7bec0949bf61718e7617509e71c4f6489721"),
        ("split", 3, "f3c8af8d53805810cd4316a3d3210d225837bc68150611fa17664bcec31eabf3"),
    ];
    for (stage, version, digest) in golden {
        let manifest = sandbox.manifest(stage);
        assert_eq!(
            manifest["key"]["version"], version,
            "{stage}: the digest below belongs to version {version}"
        );
        assert_eq!(manifest["content"], digest, "{stage} makes other bytes: raise its version");
    }
}

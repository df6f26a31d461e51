//! The options of the network: initial weights, an instruction set, other filters.

use std::fs;

use crate::harness::{Sandbox, said};

#[test]
fn a_training_starts_from_given_weights() {
    let sandbox = Sandbox::new();
    sandbox.ctpipe(&["run", "--to", "train"]).expect(0);
    let model = sandbox.path("artifacts/train/model.safetensors");
    fs::copy(&model, sandbox.path("start.safetensors")).unwrap();
    let first = fs::read(&model).unwrap();
    let train = |more: &[&str]| {
        let mut arguments =
            vec!["run", "--json", "--to", "train", "--set", "train.init_from=start.safetensors"];
        arguments.extend(more);
        sandbox.ctpipe(&arguments)
    };
    // One epoch without learning: the learned weights stay the same to the bit; only the running
    // statistics change.
    let still = ["--set", "train.lr=0", "--set", "train.weight_decay=0", "--set", "train.epochs=1"];
    assert_eq!(train(&still).expect(0).ran(), ["train"]);
    let second = fs::read(&model).unwrap();
    assert_ne!(first, second);
    let tensor = |bytes: &[u8], name: &str| {
        let file = safetensors::SafeTensors::deserialize(bytes).unwrap();
        file.tensor(name).unwrap().data().to_vec()
    };
    assert_eq!(tensor(&first, "fc1.weight"), tensor(&second, "fc1.weight"));
    assert_eq!(tensor(&first, "bn.0.weight"), tensor(&second, "bn.0.weight"));
    assert_ne!(tensor(&first, "bn.0.running_mean"), tensor(&second, "bn.0.running_mean"));
    // The file is an input like any other: the same content is fresh, other content is stale and
    // named as the reason.
    assert!(train(&still).expect(0).ran().is_empty());
    fs::write(sandbox.path("start.safetensors"), &second).unwrap();
    assert_eq!(train(&still).expect(0).ran(), ["train"]);
    // The parameter is unset on the command line.
    let pipeline = fs::read_to_string(sandbox.path("pipeline.yaml")).unwrap();
    let given =
        pipeline.replace("params: { width: 1,", "params: { init_from: missing.safetensors, width: 1,");
    sandbox.write("pipeline.yaml", &given);
    sandbox.ctpipe(&["run", "--to", "train"]).expect(2);
    sandbox.ctpipe(&["run", "--to", "train", "--set", "train.init_from=null"]).expect(0);
    let both = given.replace("split: split }", "split: split, init_from: start.safetensors }");
    sandbox.write("pipeline.yaml", &both);
    let said = sandbox.ctpipe(&["run", "--to", "train"]).expect(2);
    assert!(said.stderr.contains("init_from is both an input and a parameter"), "{}", said.stderr);
    // A folder that holds a model, as a training leaves it.
    fs::create_dir(sandbox.path("earlier")).unwrap();
    fs::copy(&model, sandbox.path("earlier/model.safetensors")).unwrap();
    sandbox.write(
        "pipeline.yaml",
        &pipeline.replace("params: { width: 1,", "params: { init_from: earlier, width: 1,"),
    );
    assert_eq!(sandbox.ctpipe(&["run", "--json", "--to", "train"]).expect(0).ran(), ["train"]);
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name_and_shape() {
    let sandbox = Sandbox::new();
    sandbox.ctpipe(&["run", "--to", "train"]).expect(0);
    let model = sandbox.path("artifacts/train/model.safetensors");
    fs::copy(&model, sandbox.path("start.safetensors")).unwrap();
    let before = sandbox.manifest("train");
    let refused = |setting: &str, code: i32, expected: &[&str]| {
        let arguments = ["run", "--to", "train", "--set", setting, "--set", "train.width=2"];
        let said = sandbox.ctpipe(&arguments).expect(code);
        for text in expected {
            assert!(said.stderr.contains(text), "expected {text:?} in:\n{}", said.stderr);
        }
    };
    refused(
        "train.init_from=start.safetensors",
        2,
        &["cannot start from", "start.safetensors", "conv.0.weight", "[1, 1, 3, 3, 3]", "[2, 1, 3, 3, 3]"],
    );
    sandbox.write("broken.safetensors", "not weights");
    refused("train.init_from=broken.safetensors", 2, &["not a usable safetensors file"]);
    refused("train.init_from=missing.safetensors", 2, &["there is no missing.safetensors"]);
    refused("train.init_form=start.safetensors", 2, &["train has no parameter \"init_form\""]);
    refused("train.init_from=7", 2, &["init_from must be a path or the name of a stage, found 7"]);
    assert_eq!(sandbox.manifest("train"), before, "nothing was lost");
}

#[test]
fn an_instruction_set_can_be_forced_and_is_recorded() {
    let sandbox = Sandbox::new();
    let with = |isa: &str, arguments: &[&str]| said(sandbox.command(arguments).env("CTPIPE_ISA", isa));
    let refused = with("avx1024", &["run"]).expect(2);
    let expected = "unknown instruction set \"avx1024\"; expected portable, avx2, avx512 or neon";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    let missing = if cfg!(target_arch = "x86_64") { "neon" } else { "avx2" };
    let refused = with(missing, &["run"]).expect(2);
    assert!(refused.stderr.contains(&format!("this processor has no {missing}")), "{}", refused.stderr);

    with("portable", &["run", "--to", "train"]).expect(0);
    let manifest = sandbox.manifest("train");
    assert!(manifest.to_string().contains("\"instruction_set\":\"portable\""), "{manifest}");
    assert!(with("portable", &["run", "--json", "--to", "train"]).expect(0).ran().is_empty());
    if ctpipe_network::instruction_set() == "portable" {
        return; // this processor has only the baseline set
    }
    // Other instruction sets round a product and a sum once. That gives another result, and a
    // message says so.
    let why = sandbox.ctpipe(&["why", "train"]);
    assert!(why.stdout.contains("multiply_add changed from rounded twice to fused"), "{}", why.stdout);
}

#[test]
fn filters_without_a_kernel_are_trained_with_and_said_once() {
    let sandbox = Sandbox::new();
    let said = sandbox.ctpipe(&["run", "--to", "train", "--set", "train.kernel_size=5"]).expect(0);
    assert_eq!(
        said.stderr.matches("there are no CPU kernels for kernel_size 5").count(),
        1,
        "{}",
        said.stderr
    );
    let said = sandbox.ctpipe(&["run", "--set", "train.kernel_size=4"]).expect(2);
    assert!(said.stderr.contains("kernel_size must be odd (1, 3, 5 or 7), found 4"), "{}", said.stderr);
}

#[test]
fn volumes_of_another_size_go_through_every_stage() {
    let sandbox = Sandbox::new();
    let sized = |more: &[&str], code: i32| {
        let mut arguments = vec!["run", "--json", "--set", "preprocess.size=32"];
        arguments.extend(more);
        sandbox.ctpipe(&arguments).expect(code)
    };
    assert_eq!(sized(&[], 0).ran().len(), 6);
    let model = fs::read(sandbox.path("artifacts/train/model.json")).unwrap();
    let model: serde_json::Value = serde_json::from_slice(&model).unwrap();
    assert_eq!(model["network"]["size"], 32);
    // Width 1: conv 27·(1 + 2 + 8) + 7, BatchNorm 2·7, projections 1 + 2 + 8 + 7;
    // fc1 4·4³·4 + 4, fc2 8 + 2.
    assert_eq!(model["network"]["width"], 1);
    let hidden = model["network"]["hidden_size"].as_u64().unwrap();
    assert_eq!(model["parameters"], 27 * 11 + 7 + 14 + 18 + 256 * hidden + hidden + 2 * hidden + 2);
    // Weights for one size cannot start a training of another size, and the error names both sizes.
    let weights = sandbox.path("artifacts/train/model.safetensors");
    fs::copy(&weights, sandbox.path("start.safetensors")).unwrap();
    let from = "train.init_from=start.safetensors";
    assert_eq!(sized(&["--to", "train", "--set", from], 0).ran(), ["train"]);
    let said = sandbox.ctpipe(&["run", "--to", "train", "--set", from]).expect(1);
    let expected = "weights are for volumes of 32 x 32 x 32 voxels, but preprocess makes 64 x 64 x 64; set preprocess.size=32";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
}

//! The error messages for a wrong matrix or input.

use crate::world::World;

/// The error for stages `a` and `b`, each a `fit` of a file unless stated otherwise.
fn said_of(a: &str, b: &str) -> String {
    let stage = |body: &str| {
        let mut body = if body.is_empty() { "cpus: 1".to_owned() } else { body.to_owned() };
        for (key, default) in [("uses:", ", uses: fit"), ("inputs:", ", inputs: { in: data.txt }")] {
            if !body.contains(key) {
                body += default;
            }
        }
        body
    };
    let world = World::new(&format!("stages:\n  a: {{ {} }}\n  b: {{ {} }}\n", stage(a), stage(b)));
    world.refused(&[])
}

#[test]
fn a_matrix_that_is_written_wrongly_is_shown_at_its_place_with_what_would_be_right() {
    let shape = "expected axes, such as { fold: [0, 1, 2] }, or the name of a stage with a matrix, found";
    let kind = "a value of lr is a text, a number, or true or false, found";
    for (a, expected) in [
        ("matrix: 3", format!("2:16: {shape} 3")),
        ("matrix: {}", format!("2:16: {shape} none")),
        ("matrix: [1]", format!("2:16: {shape} a list")),
        ("matrix: { lr: 1 }", "2:22: expected a list of values of lr, found 1".into()),
        ("matrix: { lr: [] }", "2:22: lr needs at least one value".into()),
        ("matrix: { 1: [1] }", "2:16: the name of an axis must be a text, found 1".into()),
        (
            "matrix: { l.r: [1] }",
            "2:18: the name of an axis is made of letters, digits, - and _, found \"l.r\"".into(),
        ),
        ("matrix: { lr: [1, null] }", format!("2:26: {kind} nothing")),
        ("matrix: { lr: [[1]] }", format!("2:23: {kind} a list")),
        ("matrix: { lr: [.inf] }", format!("2:23: {kind} .inf")),
        (
            "matrix: { lr: [1, a/b] }",
            "2:26: a value of lr is part of a file's name and is made of letters, digits and . _ + -, found \"a/b\""
                .into(),
        ),
        ("matrix: { lr: [0.1, 1e-1] }", "2:28: lr has the value 0.1 twice".into()),
        ("matrix: { lr: [1, '1'] }", "2:26: lr has the value 1 twice".into()),
        (
            "matrix: { lr: [0.1, 7], fold: [1, 2] }",
            "2:28: lr must be a number from 0 to 1, found 7".into(),
        ),
        (
            "matrix: { lr: [1] }, params: { lr: 1 }",
            "2:39: lr is both an axis of the matrix and a parameter; keep one".into(),
        ),
        (
            "matrix: { fodl: [1] }",
            "2:18: fodl is neither a parameter of a (did you mean \"fold\"?) nor an axis of a stage that it reads, none \
             of which has a matrix"
                .into(),
        ),
        (
            "run: x, matrix: { y: [1] }, inputs: { y: data.txt }, uses: ''",
            "\"uses\" must name a built-in stage, found \"\"".into(),
        ),
    ] {
        let said = said_of(a, "");
        assert_eq!(said.lines().count(), 1, "{a}: told once: {said}");
        assert!(said.starts_with("pipeline.yaml:") && said.contains(&expected), "{a}: {expected}\n{said}");
    }
    let run = |body: &str| World::new(&format!("stages:\n  a: {{ run: x, {body} }}\n")).refused(&[]);
    let expected = "pipeline.yaml:2:26: y is also an input of a; rename the axis";
    assert_eq!(run("matrix: { y: [1] }, inputs: { y: data.txt }"), expected);
    assert!(run("matrix: { run: [1] }").contains("a parameter of a command cannot be called run"));
    assert!(run("matrix: { x_y: [1], x-y: [2] }").contains("would become the same variable"));
    let expected = "pipeline.yaml:2:26: the name of an input cannot contain @, found \"y@1\"; rename it";
    assert_eq!(run("inputs: { y@1: data.txt }"), expected);
}

#[test]
fn an_input_that_means_no_instance_or_too_many_is_shown_at_its_place() {
    let two = "matrix: { fold: [0, 1] }";
    for (a, b, expected) in [
        (
            two,
            "inputs: { in: a }, matrix: { seed: [1] }",
            "3:37: seed is neither a parameter of b nor an axis of a stage that it reads, whose axes are: fold (a)",
        ),
        (
            two,
            "matrix: aa",
            "3:16: unknown stage \"aa\" (did you mean \"a\"?); matrix must name a stage of the pipeline",
        ),
        ("", "matrix: a", "3:16: a has no matrix; write the axes here, or give a a matrix"),
        (
            two,
            "inputs: { in: a }",
            "3:22: input in takes one stage, but a has 2 instances; name one, such as a@fold=0, or give this stage the same matrix (matrix: a)",
        ),
        (
            "matrix: { fold: [0, 1], lr: [0.1, 1] }",
            "inputs: { in: a@lr=1e-1 }",
            "3:22: input in takes one stage, but a@lr=1e-1 has 2 instances; name one, such as a@lr=0.1,fold=0, or give",
        ),
        (
            "matrix: { fold: [7] }",
            "inputs: { in: a }",
            "3:22: input in takes one stage, but a has 1 instance; name one, such as a@fold=7",
        ),
        (two, "inputs: { in: a@fold=2 }", "3:22: a has no fold=2; its values of fold are: 0, 1"),
        (
            two,
            "inputs: { in: a@fodl=1 }",
            "3:22: a has no axis \"fodl\" (did you mean \"fold\"?); it has: fold",
        ),
        (
            two,
            "inputs: { in: 'a@fold=1,1' }",
            "3:22: \"a@fold=1,1\" is not of the form a@axis=value,axis=value",
        ),
        (two, "inputs: { in: 'a@fold=1,fold=0' }", "3:22: \"a@fold=1,fold=0\" sets fold twice"),
        (
            "",
            "inputs: { in: bb@fold=0.1 }",
            "3:22: \"bb@fold=0.1\" is neither a stage nor a path (did you mean \"b\"?)",
        ),
        ("", "inputs: { in: a@fold=1 }", "3:22: a has no matrix, so there is no a@fold=1; write a"),
        (
            two,
            "inputs: { in: a }, matrix: { fold: [0, 1, 2] }",
            "3:22: this stage has fold=2, but a does not; its values of fold are: 0, 1",
        ),
        (
            "",
            "inputs: { in: [a, data.txt] }",
            "3:22: input in takes one stage or path, found a list of 2; name one",
        ),
        ("", "uses: list, inputs: { in: [] }", "3:34: input in is empty; name a stage or a path"),
        (
            "",
            "uses: list, inputs: { in: [a, 1] }",
            "3:38: an input is the name of a stage or a path, found 1",
        ),
        (
            "",
            "uses: list, inputs: { in: [aa, bb] }",
            "3:35: \"aa\" is neither a stage nor a path (did you mean \"a\"?)",
        ),
        (
            "matrix: { fold: [0, 1] }, inputs: { in: b }",
            "inputs: { in: a@fold=1 }",
            "3:3: the stages depend on each other in a cycle: b -> a -> b; break it",
        ),
        (
            "matrix: b",
            "matrix: a",
            "2:16: the stages take their axes from each other in a cycle: a -> b -> a",
        ),
    ] {
        let said = said_of(a, b);
        assert!(said.contains(&format!("pipeline.yaml:{expected}")), "{a} {b}: {expected}\n{said}");
    }
}

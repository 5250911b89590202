//! `effnet average`.

use std::path::Path;

use effnet::ModelMetadata;
use effnet_checkpoint::{Checkpoint, DType, StateDict, Tensor, write_safetensors};
use effnet_tests::{Finished, effnet, finish};

use super::{weights, write_images};

const LABELS: [&str; 3] = ["ant", "bee", "cat"];

fn average(home: &Path, arguments: &[&str]) -> Finished {
    finish(effnet().current_dir(home).arg("average").args(arguments))
}

/// Writes the network of `named.safetensors` with each number moved by up to `size`, depending on its place.
fn moved(home: &Path, name: &str, size: f32, change: impl FnOnce(&mut ModelMetadata)) {
    let checkpoint = Checkpoint::open(home.join("named.safetensors")).unwrap();
    let tensors = checkpoint.state_dict().iter().map(|(name, tensor)| {
        if !tensor.dtype().is_float() {
            return (name.to_owned(), tensor.clone());
        }
        let values = tensor.floats().unwrap();
        let bytes = values.iter().enumerate();
        let bytes = bytes.flat_map(|(place, value)| (value + size * ((place % 7) as f32)).to_le_bytes());
        let moved = Tensor::from_bytes(DType::F32, tensor.shape().to_vec(), bytes.collect()).unwrap();
        (name.to_owned(), moved)
    });
    let mut metadata = ModelMetadata::from_entries(checkpoint.metadata()).unwrap();
    change(&mut metadata);
    write_safetensors(
        home.join(name),
        &tensors.collect::<StateDict>(),
        &metadata.to_entries(),
    )
    .unwrap();
}

#[test]
fn each_number_is_the_mean_and_the_file_runs_like_the_others() {
    let home = tempfile::tempdir().unwrap();
    weights(home.path(), &LABELS);
    moved(home.path(), "a.safetensors", 1e-3, |_| ());
    moved(home.path(), "b.safetensors", 2e-3, |_| ());
    let run = average(
        home.path(),
        &[
            "named.safetensors",
            "a.safetensors",
            "b.safetensors",
            "--output",
            "mean.safetensors",
        ],
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    let open = |name: &str| Checkpoint::open(home.path().join(name)).unwrap();
    let files = ["named.safetensors", "a.safetensors", "b.safetensors"].map(open);
    let mean = open("mean.safetensors");
    assert_eq!(mean.state_dict().len(), files[0].state_dict().len());
    for (name, tensor) in mean.state_dict() {
        if !tensor.dtype().is_float() {
            assert_eq!(
                tensor.bytes().unwrap(),
                files[0].state_dict().get(name).unwrap().bytes().unwrap()
            );
            continue;
        }
        let parts = files
            .each_ref()
            .map(|file| file.state_dict().get(name).unwrap().floats().unwrap());
        for (place, value) in tensor.floats().unwrap().iter().enumerate() {
            let sum: f64 = parts.iter().map(|part| f64::from(part[place])).sum();
            assert_eq!(*value, (sum / 3.0) as f32, "{name}[{place}]");
        }
    }
    write_images(&home.path().join("photos"), 1);
    let classified = finish(effnet().current_dir(home.path()).args([
        "classify",
        "photos",
        "--weights",
        "mean.safetensors",
        "--device",
        "cpu",
        "--top-k",
        "1",
    ]));
    assert_eq!(classified.code, Some(0), "{}", classified.stderr);
    assert!(
        LABELS.iter().any(|label| classified.stdout.contains(label)),
        "{}",
        classified.stdout
    );
}

#[test]
fn networks_of_another_kind_are_refused_with_the_difference() {
    let home = tempfile::tempdir().unwrap();
    weights(home.path(), &LABELS);
    moved(home.path(), "order.safetensors", 0.0, |metadata| {
        metadata.labels = Some(["bee", "ant", "cat"].map(str::to_owned).to_vec());
    });
    moved(home.path(), "size.safetensors", 0.0, |metadata| {
        metadata.image_size = Some(96);
    });
    for (other, words) in [
        (
            "order.safetensors",
            "class names in the same order as named.safetensors, ant, found bee",
        ),
        (
            "size.safetensors",
            "image_size as named.safetensors, 64, found 96",
        ),
        ("b0.cifar10", "expected the same"),
        ("named.safetensors", "named twice"),
        ("none.safetensors", "none.safetensors: no such file"),
    ] {
        let run = average(
            home.path(),
            &["named.safetensors", other, "--output", "mean.safetensors"],
        );
        assert_eq!(run.code, Some(2), "{other}");
        assert!(run.stderr.contains(words), "{other}: {}", run.stderr);
        assert!(!home.path().join("mean.safetensors").exists());
    }
}

#[test]
fn existing_files_and_inputs_are_not_overwritten() {
    let home = tempfile::tempdir().unwrap();
    weights(home.path(), &LABELS);
    moved(home.path(), "a.safetensors", 1e-3, |_| ());
    let both = ["named.safetensors", "a.safetensors", "--output"];
    std::fs::write(home.path().join("old.safetensors"), b"old").unwrap();
    for (output, words) in [
        ("old.safetensors", "--force"),
        ("a.safetensors", "the output is the input"),
        ("mean.pth", "ends in .safetensors"),
    ] {
        let run = average(home.path(), &[&both[..], &[output]].concat());
        assert_eq!(run.code, Some(2), "{output}");
        assert!(run.stderr.contains(words), "{output}: {}", run.stderr);
    }
    let run = average(
        home.path(),
        &[&both[..], &["old.safetensors", "--force"]].concat(),
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(Checkpoint::open(home.path().join("old.safetensors")).is_ok());
}

#[test]
fn networks_that_were_not_trained_from_the_same_weights_are_warned_of() {
    let home = tempfile::tempdir().unwrap();
    weights(home.path(), &LABELS);
    // Mostly this pattern, and hardly the network.
    moved(home.path(), "far.safetensors", 10.0, |_| ());
    let run = average(
        home.path(),
        &[
            "named.safetensors",
            "far.safetensors",
            "--output",
            "mean.safetensors",
        ],
    );
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stderr.contains("cosine similarity of only"), "{}", run.stderr);
}

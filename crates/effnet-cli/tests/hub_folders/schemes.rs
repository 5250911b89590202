//! Each network through the naming schemes of the libraries that have it, and back to the same bits.

use std::fs;

use effnet_checkpoint::Checkpoint;

use crate::{convert, effnet, labelled, python, reference, refused, same_bits, stderr, tensors};

/// Files through all schemes, each made from the one before it.
fn through_all_schemes(test: &str, variant: &str) {
    let Some(photo) = reference(test) else {
        return;
    };
    let home = labelled();
    let folder = home.path();
    let photo = photo.to_str().unwrap();
    python(folder, &["make", "lukemelas", variant, "first.pth"]);
    convert(
        folder,
        &["first.pth", "timm", "--to", "timm", "--labels", "labels.txt"],
    );
    python(folder, &["timm", "lukemelas", variant, "timm", photo]);
    convert(folder, &["timm", "transformers", "--to", "transformers"]);
    python(
        folder,
        &["transformers", "lukemelas", variant, "transformers", photo],
    );
    convert(folder, &["transformers", "net.weights.h5", "--to", "keras"]);
    python(folder, &["keras", "lukemelas", variant, "net.weights.h5"]);
    convert(
        folder,
        &["net.weights.h5", "torchvision.safetensors", "--to", "torchvision"],
    );
    python(
        folder,
        &[
            "named",
            "torchvision",
            variant,
            "torchvision.safetensors",
            "lukemelas",
        ],
    );
    convert(folder, &["torchvision.safetensors", "last.safetensors"]);
    python(folder, &["named", "lukemelas", variant, "last.safetensors"]);
    same_bits(
        &tensors(folder, "last.safetensors"),
        &tensors(folder, "first.pth"),
    );

    // Labels, preprocessing and profile came along.
    let last = Checkpoint::open(folder.join("last.safetensors")).unwrap();
    let of_timm = Checkpoint::open(folder.join("timm/model.safetensors")).unwrap();
    for key in ["profile", "variant", "labels"] {
        assert_eq!(last.metadata().get(key), of_timm.metadata().get(key), "{key}");
    }
    let classes = |weights: &str| {
        let arguments = [
            "classify",
            photo,
            "--weights",
            weights,
            "--format",
            "json",
            "--top-k",
            "3",
        ];
        let output = effnet(folder, &arguments);
        assert!(output.status.success(), "{weights}: {}", stderr(&output));
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        line["predictions"].clone()
    };
    let expected = classes("timm");
    assert!(expected[0]["label"].as_str().unwrap().starts_with("kind "));
    for weights in ["transformers", "net.weights.h5", "last.safetensors"] {
        assert_eq!(classes(weights), expected, "{weights}");
    }
}

#[test]
fn b0_goes_through_all_schemes_and_back() {
    through_all_schemes("b0_goes_through_all_schemes_and_back", "b0");
}

#[test]
fn b5_goes_through_all_schemes_and_back() {
    through_all_schemes("b5_goes_through_all_schemes_and_back", "b5");
}

/// Of Lite, EfficientNet-PyTorch and timm have networks. The others are refused by name.
#[test]
fn lite0_goes_through_the_schemes_that_have_it_and_back() {
    let test = "lite0_goes_through_the_schemes_that_have_it_and_back";
    let Some(photo) = reference(test) else {
        return;
    };
    let home = labelled();
    let (folder, photo) = (home.path(), photo.to_str().unwrap());
    let check = |arguments: &[&str]| python(folder, arguments);
    check(&["make", "lukemelas", "lite0", "first.pth"]);
    convert(
        folder,
        &["first.pth", "timm", "--to", "timm", "--labels", "labels.txt"],
    );
    check(&["timm", "lukemelas", "lite0", "timm", photo]);
    for (to, output) in [
        ("torchvision", "none.safetensors"),
        ("transformers", "none"),
        ("keras", "none.weights.h5"),
    ] {
        let words = [to, "does not have", "--to timm"];
        refused(folder, &["convert", "timm", output, "--to", to], &words);
        assert!(!folder.join(output).exists(), "{output}");
    }
    convert(folder, &["timm", "last.pth", "--to", "lukemelas"]);
    check(&["named", "lukemelas", "lite0", "last.pth"]);
    same_bits(&tensors(folder, "last.pth"), &tensors(folder, "first.pth"));
}

/// V2 has networks in timm, Keras and torchvision.
fn v2_goes_through(test: &str, variant: &str) {
    let Some(photo) = reference(test) else {
        return;
    };
    let home = labelled();
    let (folder, photo) = (home.path(), photo.to_str().unwrap());
    let check = |arguments: &[&str]| python(folder, arguments);
    check(&["make", "timm-tf", variant, "first.pth"]);
    convert(
        folder,
        &["first.pth", "timm", "--to", "timm", "--labels", "labels.txt"],
    );
    check(&["timm", "timm-tf", variant, "timm", photo]);
    let transformers = ["convert", "timm", "none", "--to", "transformers"];
    refused(
        folder,
        &transformers,
        &["transformers", "does not have", "--to timm"],
    );
    let output = effnet(folder, &["convert", "timm", "net.weights.h5", "--to", "keras"]);
    assert!(output.status.success(), "{}", stderr(&output));
    // timm's port of V2-S divides by 127.5, Keras by 128.
    let warns = stderr(&output).contains("include_preprocessing=False");
    assert_eq!(warns, variant == "v2-s", "{}", stderr(&output));
    check(&["keras", "timm-tf", variant, "net.weights.h5"]);
    convert(folder, &["net.weights.h5", "own.pth", "--to", "lukemelas"]);
    if variant == "v2-s" {
        convert(folder, &["own.pth", "torchvision.pth", "--to", "torchvision"]);
        check(&["named", "torchvision", variant, "torchvision.pth", "timm-tf"]);
        fs::rename(folder.join("torchvision.pth"), folder.join("own.pth")).unwrap();
    }
    convert(folder, &["own.pth", "last.pth", "--to", "timm"]);
    check(&["named", "timm-tf", variant, "last.pth"]);
    same_bits(&tensors(folder, "last.pth"), &tensors(folder, "first.pth"));
}

#[test]
fn v2_s_goes_through_the_schemes_that_have_it_and_back() {
    v2_goes_through("v2_s_goes_through_the_schemes_that_have_it_and_back", "v2-s");
}

#[test]
fn v2_b0_goes_through_the_schemes_that_have_it_and_back() {
    v2_goes_through("v2_b0_goes_through_the_schemes_that_have_it_and_back", "v2-b0");
}

/// torchvision's V2-S has its own padding, which is described to timm.
#[test]
fn torchvisions_v2_s_is_described_to_timm_and_refused_to_keras() {
    let test = "torchvisions_v2_s_is_described_to_timm_and_refused_to_keras";
    let Some(photo) = reference(test) else {
        return;
    };
    let home = labelled();
    let (folder, photo) = (home.path(), photo.to_str().unwrap());
    python(folder, &["make", "torchvision", "v2-s", "first.pth"]);
    convert(
        folder,
        &["first.pth", "timm", "--to", "timm", "--labels", "labels.txt"],
    );
    python(folder, &["timm", "torchvision", "v2-s", "timm", photo]);
    let keras = ["convert", "timm", "none.weights.h5", "--to", "keras"];
    refused(folder, &keras, &["profile tf", "profile torchvision"]);
    convert(folder, &["timm", "last.pth", "--to", "torchvision"]);
    python(folder, &["named", "torchvision", "v2-s", "last.pth"]);
    same_bits(&tensors(folder, "last.pth"), &tensors(folder, "first.pth"));
}

/// torchvision's B5 has the padding of one of timm's architectures and the epsilon of the other.
#[test]
fn torchvisions_b5_is_described_to_timm_and_refused_to_the_others() {
    let test = "torchvisions_b5_is_described_to_timm_and_refused_to_the_others";
    let Some(photo) = reference(test) else {
        return;
    };
    let home = labelled();
    let folder = home.path();
    python(folder, &["make", "torchvision", "b5", "first.pth"]);
    convert(
        folder,
        &[
            "first.pth",
            "tv.safetensors",
            "--to",
            "torchvision",
            "--profile",
            "torchvision",
        ],
    );
    convert(
        folder,
        &["tv.safetensors", "timm", "--to", "timm", "--labels", "labels.txt"],
    );
    python(
        folder,
        &["timm", "torchvision", "b5", "timm", photo.to_str().unwrap()],
    );
    let config = fs::read_to_string(folder.join("timm/config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["model_args"], serde_json::json!({"bn_eps": 1e-3}));
    for (output, to) in [("transformers", "transformers"), ("net.weights.h5", "keras")] {
        let words = ["profile tf", "profile torchvision"];
        refused(folder, &["convert", "timm", output, "--to", to], &words);
        assert!(!folder.join(output).exists(), "{output}");
    }
}

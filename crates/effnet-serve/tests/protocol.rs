//! The Open Inference Protocol: by hand, and as the clients of Triton and KServe speak it.

#![allow(clippy::unwrap_used)]

mod server;

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use effnet::Images;
use effnet_image::Image;
use effnet_serve::{ServeOptions, ServedModel};
use server::{JSON, Running, floats, model, ship, ship_path};
use test_support::skip;

const INFER: &str = "/v2/models/b0.cifar10/infer";

fn logits() -> Vec<f32> {
    let model = model();
    let pixels = model
        .transform()
        .apply(&Image::open(ship_path()).unwrap())
        .unwrap();
    let side = model.transform().image_size;
    model
        .logits(Images::new(&pixels, [1, 3, side, side]).unwrap())
        .unwrap()
        .into_values()
}

#[test]
fn metadata_health_and_versions_are_those_of_the_protocol() {
    let models = ["a", "b.1"].map(|name| ServedModel::new(name, model()).unwrap());
    let server = Running::with_models(models.into(), ServeOptions::default());
    assert_eq!(server.get("/v2").json()["name"], "effnet");
    let description = server.get("/openapi.json").json();
    assert_eq!(
        description["components"]["schemas"]["Model"]["enum"],
        serde_json::json!(["a", "b.1"])
    );
    for path in ["live", "ready"] {
        let answer = server.get(&format!("/v2/health/{path}"));
        assert_eq!((answer.status, answer.json()[path].as_bool()), (200, Some(true)));
    }
    for path in ["/v2/models/b.1", "/v2/models/b.1/versions/1"] {
        let metadata = server.get(path).json();
        assert_eq!(metadata["name"], "b.1");
        assert_eq!(metadata["versions"][0], "1");
        assert_eq!(
            metadata["inputs"][1]["shape"],
            serde_json::json!([-1, 3, 128, 128])
        );
        assert_eq!(metadata["outputs"][0]["shape"], serde_json::json!([-1, 10]));
        assert_eq!(server.get(&format!("{path}/ready")).json()["ready"], true);
    }
    for path in [
        "/v2/models/c",
        "/v2/models/a/versions/2",
        "/v2/models/c/ready",
        "/v2/models/%2e%2e",
    ] {
        assert_eq!(server.get(path).status, 404, "{path}");
    }
}

#[test]
fn encoded_images_and_tensors_give_the_logits_of_the_library() {
    let server = Running::start(ServeOptions::default());
    let data = STANDARD.encode(ship());
    let body = format!(
        r#"{{"id": "x", "inputs": [{{"name": "image", "shape": [1], "datatype": "BYTES", "data": ["{data}"]}}]}}"#
    );
    let answer = server.post(INFER, &[JSON], body.as_bytes()).json();
    assert_eq!(
        (answer["id"].as_str(), answer["model_version"].as_str()),
        (Some("x"), Some("1"))
    );
    assert_eq!(floats(&answer["outputs"][0]["data"]), logits());
    assert_eq!(answer["outputs"][1]["name"], "probabilities");

    let pixels = model()
        .transform()
        .apply(&Image::open(ship_path()).unwrap())
        .unwrap();
    let bytes: Vec<u8> = pixels.iter().flat_map(|value| value.to_le_bytes()).collect();
    let json = format!(
        r#"{{"inputs": [{{"name": "input", "shape": [1, 3, 128, 128], "datatype": "FP32",
            "parameters": {{"binary_data_size": {}}}}}],
            "outputs": [{{"name": "logits"}}, {{"name": "probabilities", "parameters": {{"classification": 2}}}}]}}"#,
        bytes.len()
    );
    let length = json.len().to_string();
    let body = [json.as_bytes(), &bytes].concat();
    let answer = server
        .post(INFER, &[("Inference-Header-Content-Length", &length)], &body)
        .json();
    assert_eq!(floats(&answer["outputs"][0]["data"]), logits());
    let best = answer["outputs"][1]["data"][0].as_str().unwrap();
    assert!(best.ends_with(":8:ship"), "{best}");
    assert_eq!(answer["outputs"][1]["shape"], serde_json::json!([1, 2]));
}

#[test]
fn wrong_requests_for_inference_say_what_is_expected() {
    let server = Running::start(ServeOptions::default());
    let image = |shape: &str, data: &str| {
        format!(r#"{{"inputs": [{{"name": "image", "shape": {shape}, "datatype": "BYTES", {data}}}]}}"#)
    };
    let fine = image("[1]", r#""data": ["aGVsbG8="]"#);
    let cases = [
        ("{}".to_owned(), 422, "inputs"),
        (r#"{"inputs": []}"#.to_owned(), 422, "expected one input"),
        (image("[2]", r#""data": ["aGVsbG8="]"#), 422, "the shape [1]"),
        (image("[0]", r#""data": []"#), 422, "no images"),
        (image("[1]", r#""data": [1]"#), 422, "base64"),
        (image("[1]", r#""parameters": {"binary_data_size": 4}"#), 422, "0 bytes after the JSON"),
        (image("[1]", r#""parameters": {}"#), 422, "either data or"),
        (fine.replace("BYTES", "INT8"), 422, "datatype"),
        (fine.replace("image", "photo"), 422, "expected an input image"),
        (fine.replace("]}]}", r#"]}], "outputs": [{"name": "x"}]}"#), 422, "logits or probabilities"),
        (fine.clone(), 415, "image 0"),
        (fine.replace('}', ""), 400, "not valid JSON"),
        (
            r#"{"inputs": [{"name": "input", "shape": [1, 3, 9999999999, 9999999999], "datatype": "FP32", "data": [1]}]}"#
                .to_owned(),
            422,
            "expected numbers of the shape [N, 3, 128, 128]",
        ),
    ];
    for (body, status, part) in cases {
        let answer = server.post(INFER, &[JSON], body.as_bytes());
        let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(
            answer.status == status && error.contains(part),
            "{body}: {}",
            answer.text()
        );
    }
    let answer = server.post(
        INFER,
        &[("inference-header-content-length", "999")],
        fine.as_bytes(),
    );
    assert_eq!(answer.status, 400);
}

/// Calls the server with a client of Python, and returns the logits that it got.
fn call(client: &str, module: &str) -> Option<Vec<f32>> {
    let test = format!("the client of {client}");
    let Some(python) = std::env::var_os("EFFNET_SERVE_PYTHON") else {
        skip(
            &test,
            "no EFFNET_SERVE_PYTHON, a Python with scripts/bench/serve/requirements.txt",
        );
        return None;
    };
    let import = Command::new(&python)
        .args(["-c", &format!("import {module}")])
        .output();
    if !import.is_ok_and(|output| output.status.success()) {
        skip(&test, &format!("{} cannot import {module}", python.display()));
        return None;
    }
    let server = Running::start(ServeOptions::default());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/reference/serve_clients.py");
    let mut python = Command::new(python);
    python
        .arg(script)
        .args([client, &server.address.to_string(), "b0.cifar10"])
        .arg(ship_path());
    let output = python.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_client_of_triton_gets_the_same_logits() {
    if let Some(found) = call("triton", "tritonclient.http") {
        assert_eq!(found, logits());
    }
}

#[test]
fn the_client_of_kserve_gets_the_same_logits() {
    if let Some(found) = call("kserve", "kserve") {
        assert_eq!(found, logits());
    }
}

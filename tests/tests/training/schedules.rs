//! Schedules and losses against torch's.

use effnet_tests::{ask, skip};
use effnet_train::{CrossEntropy, Schedule, ScheduleShape, Targets, Warmup};
use serde_json::{Value, json};
use tch::{Kind, Tensor};

fn follows(test: &str, schedule: Schedule, request: &Value) {
    let answer = match ask(request) {
        Ok(answer) => answer,
        Err(reason) => return skip(test, &reason),
    };
    let momentum = |step| schedule.momentum(step).unwrap_or(0.9);
    for (name, found) in [
        ("rates", &(|step| schedule.rate(step)) as &dyn Fn(u64) -> f64),
        ("momenta", &momentum),
    ] {
        let expected = answer[name].as_array().unwrap();
        assert_eq!(expected.len() as u64, schedule.steps());
        for (step, expected) in expected.iter().enumerate() {
            let (found, expected) = (found(step as u64), expected.as_f64().unwrap());
            assert!(
                (found - expected).abs() <= 1e-9 * expected,
                "{name}, step {step}: {found}, expected {expected}"
            );
        }
    }
}

#[test]
fn one_cycle_is_torchs() {
    let cases = [
        (100, 0.3, [0.95, 0.85]),
        (37, 0.99, [0.8, 0.7]),
        (11, 0.1, [0.9, 0.9]),
    ];
    for (steps, rise, momentum) in cases {
        let shape = ScheduleShape::OneCycle {
            rise,
            div: 25.0,
            final_div: 1e4,
            momentum: Some(momentum),
        };
        let schedule = Schedule::new(0.4, steps, shape, Warmup::default()).unwrap();
        let request = json!({
            "request": "schedule", "name": "OneCycleLR", "base": 0.4, "steps": steps,
            "arguments": {
                "max_lr": 0.4, "total_steps": steps, "pct_start": rise, "max_momentum": momentum[0],
                "base_momentum": momentum[1],
            },
        });
        follows("one_cycle_is_torchs", schedule, &request);
    }
}

#[test]
fn a_cosine_is_torchs() {
    let schedule = Schedule::new(0.4, 50, ScheduleShape::Cosine { end: 0.05 }, Warmup::default()).unwrap();
    let request = json!({
        "request": "schedule", "name": "CosineAnnealingLR", "base": 0.4, "steps": 50,
        "arguments": {"T_max": 50, "eta_min": 0.02},
    });
    follows("a_cosine_is_torchs", schedule, &request);
}

#[test]
fn cross_entropy_with_smoothing_and_weights_is_torchs() {
    let test = "cross_entropy_with_smoothing_and_weights_is_torchs";
    let logits = [
        [0.3f32, -1.2, 2.5, 0.0],
        [1.1, 0.4, -0.7, 3.0],
        [-2.0, 0.1, 0.2, 0.9],
    ];
    let soft = [
        [0.0f32, 0.3, 0.7, 0.0],
        [1.0, 0.0, 0.0, 0.0],
        [0.25, 0.25, 0.25, 0.25],
    ];
    let weights = [0.5, 2.0, 1.0, 3.0];
    let table = |rows: &[[f32; 4]; 3]| Tensor::from_slice(rows.as_flattened()).view([3, 4]);
    for smoothing in [0.0, 0.1] {
        for weights in [None, Some(&weights[..])] {
            let loss = CrossEntropy::new(smoothing, weights).unwrap();
            let classes = (
                Targets::Classes(Tensor::from_slice(&[2i64, 3, 0])),
                json!([2, 3, 0]),
            );
            let probabilities = (Targets::Probabilities(table(&soft)), json!(soft));
            for (targets, sent) in [classes, probabilities] {
                let request = json!({
                    "request": "cross_entropy", "logits": logits, "targets": sent, "weights": weights,
                    "smoothing": smoothing,
                });
                let expected = match ask(&request) {
                    Ok(answer) => answer["loss"].as_f64().unwrap(),
                    Err(reason) => return skip(test, &reason),
                };
                let found = loss.forward(&table(&logits), &targets).unwrap();
                let found = found.to_kind(Kind::Double).double_value(&[]);
                assert!(
                    (found - expected).abs() <= 1e-6 * expected,
                    "{request}: {found}, expected {expected}"
                );
            }
        }
    }
}

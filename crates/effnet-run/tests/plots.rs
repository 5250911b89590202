//! The plots of a run, as far as a program can judge them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use effnet_data::metrics::{Metrics, Summary};
use effnet_data::{confusion_png, curves_png};
use effnet_run::{EpochRecord, StepRecord, Validation, history_panels};

/// A plot's width, height and pixels.
fn decode(bytes: &[u8]) -> (u32, u32, Vec<[u8; 3]>) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(bytes))
        .read_info()
        .unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb);
    let (pixels, _) = pixels.as_chunks();
    (info.width, info.height, pixels.to_vec())
}

/// The fraction of pixels that are clearly of one colour.
fn share(pixels: &[[u8; 3]], is_of: impl Fn([i32; 3]) -> bool) -> f64 {
    let matching = pixels.iter().filter(|pixel| is_of(pixel.map(i32::from)));
    matching.count() as f64 / pixels.len() as f64
}

fn blue([red, _, blue]: [i32; 3]) -> bool {
    blue > red + 60
}

fn orange([red, _, blue]: [i32; 3]) -> bool {
    red > blue + 60
}

/// A network that takes one image in `mistaken` of each class for one of the next class.
fn metrics(classes: usize, images: usize, mistaken: usize) -> Metrics {
    let mut metrics = Metrics::new(classes);
    for label in 0..classes {
        for image in 0..images {
            let predicted = if image % mistaken == 0 {
                (label + 1 + image) % classes
            } else {
                label
            };
            let mut logits = vec![0.0; classes];
            logits[predicted] = 9.0;
            metrics.push(&logits, label).unwrap();
        }
    }
    metrics
}

fn names(classes: usize) -> Vec<String> {
    (0..classes)
        .map(|class| format!("a class named {class}"))
        .collect()
}

fn look_at(name: &str, png: &[u8]) {
    if let Some(folder) = std::env::var_os("EFFNET_KEEP_PICTURES") {
        std::fs::write(std::path::Path::new(&folder).join(name), png).unwrap();
    }
}

#[test]
fn what_is_right_is_blue_and_what_is_wrong_orange_whatever_the_number_of_classes() {
    for classes in [1, 2, 10, 33, 40, 41, 1000] {
        let good = metrics(classes, 10, 10);
        let png = confusion_png(good.confusion(), &names(classes)).unwrap();
        look_at(&format!("confusion-{classes}.png"), &png);
        let (width, height, pixels) = decode(&png);
        assert!(width <= 1500 && height <= 1500, "{width} x {height}");
        assert!(share(&pixels, blue) > 0.0003, "{classes} classes");
        if classes > 1 {
            assert!(share(&pixels, orange) > 0.0003, "{classes} classes");
        }
    }
}

#[test]
fn a_matrix_without_images_is_drawn_too() {
    for classes in [3, 100] {
        let png = confusion_png(Metrics::new(classes).confusion(), &[]).unwrap();
        let (_, _, pixels) = decode(&png);
        assert_eq!(share(&pixels, orange), 0.0);
    }
}

fn epochs(count: u64) -> Vec<EpochRecord> {
    let epoch = |epoch: u64| {
        let t = epoch as f64 / count as f64;
        let wave = 0.02 * (epoch as f64 * 1.7).sin();
        EpochRecord {
            epoch,
            step: epoch * 100,
            lr: 0.01 * (0.5 + 0.5 * (std::f64::consts::PI * t).cos()),
            train_loss: 0.35 + 2.0 * (-4.0 * t).exp() + wave,
            validation: Some(Validation::Classes(Summary {
                images: 100,
                top1: 0.9 - 0.8 * (-5.0 * t).exp() - wave - 0.05 * t * t,
                top5: 0.99 - 0.5 * (-6.0 * t).exp(),
                loss: 0.45 + 1.6 * (-4.0 * t).exp() - wave + 0.3 * t * t,
                ece: 0.1,
            })),
            best: false,
        }
    };
    (1..=count).map(epoch).collect()
}

/// Four records per epoch of 100 steps, on a one-cycle schedule.
fn steps(epochs: u64) -> Vec<StepRecord> {
    let step = |step: u64| StepRecord {
        epoch: 1 + (25 * step - 1) / 100,
        step: 25 * step,
        lr: 0.002 * (std::f64::consts::PI * step as f64 / (4 * epochs) as f64).sin(),
        loss: 1.0,
    };
    (1..=4 * epochs).map(step).collect()
}

#[test]
fn curves_show_both_series_whatever_the_number_of_epochs() {
    for count in [1, 2, 12, 350] {
        let panels = history_panels(&epochs(count), &steps(count), 10);
        let png = curves_png("b0 on my-photos, 5 classes", "epoch", &panels).unwrap();
        look_at(&format!("curves-{count}.png"), &png);
        let (_, _, pixels) = decode(&png);
        assert!(share(&pixels, blue) > 0.0003, "{count} epochs");
        assert!(share(&pixels, orange) > 0.0001, "{count} epochs");
    }
}

#[test]
fn values_that_are_no_numbers_leave_gaps_and_nothing_else() {
    let mut broken = epochs(12);
    broken[5].train_loss = f64::NAN;
    broken[6].train_loss = f64::INFINITY;
    let draw = |epochs: &[EpochRecord]| curves_png("", "epoch", &history_panels(epochs, &[], 10)).unwrap();
    let (_, _, pixels) = decode(&draw(&broken));
    assert!(share(&pixels, blue) > 0.0003);
    let without = [&broken[..5], &broken[7..]].concat();
    let mut panels = [
        history_panels(&broken, &[], 10),
        history_panels(&without, &[], 10),
    ];
    assert_ne!(panels[0][0].curves[0], panels[1][0].curves[0]);
    let first = panels.each_mut().map(|panels| panels.remove(0));
    let [with, without] = first.map(|panel| curves_png("", "epoch", &[panel_of(panel, 0)]).unwrap());
    assert_eq!(with, without);
}

/// The panel with one of its curves.
fn panel_of(mut panel: effnet_data::Panel, curve: usize) -> effnet_data::Panel {
    panel.curves = vec![panel.curves.remove(curve)];
    panel
}

#[test]
fn without_any_epoch_the_panels_say_so() {
    let png = curves_png("nothing yet", "epoch", &history_panels(&[], &[], 10)).unwrap();
    let (_, _, pixels) = decode(&png);
    assert!(share(&pixels, |[red, green, blue]| red + green + blue < 500) > 0.001);
}

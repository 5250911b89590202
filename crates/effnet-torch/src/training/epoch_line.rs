//! The text that is printed after each epoch.

use effnet_train::run::{EpochRecord, EpochTime, Validation};

use super::progress::duration;
use super::targets::short;

/// Maximum width of a line.
const WIDTH: usize = 80;

/// Returns the text printed after an epoch: one line, or two if one line would be wider than a terminal.
pub(super) fn line(
    record: &EpochRecord,
    epochs: u32,
    classes: usize,
    time: EpochTime,
    is_best: bool,
) -> String {
    let mut parts = vec![format!("training loss {:.4}", record.train_loss)];
    if let Some(validation) = &record.validation {
        parts.extend(metrics(validation, classes));
        if is_best {
            parts.push("best".to_owned());
        }
    }
    parts.push(format!("lr {:.1e}", record.lr));
    parts.push(duration(time.seconds));
    parts.push(format!("{:.0} images/s", time.images_per_second));
    broken(&format!("epoch {}/{epochs}: ", record.epoch), &parts)
}

fn metrics(validation: &Validation, classes: usize) -> Vec<String> {
    let percent = |name: &str, part: f64| format!("{name} {:.2} %", 100.0 * part);
    let loss = |loss: f64| format!("validation loss {loss:.4}");
    match validation {
        Validation::Classes(summary) => {
            let top5 = summary.top5_of(classes).map(|top5| percent("top-5", top5));
            let parts = [loss(summary.loss), percent("top-1", summary.top1)];
            parts.into_iter().chain(top5).collect()
        }
        Validation::Labels(summary) => {
            let precision = summary.mean_average_precision.map(|part| percent("mAP", part));
            let f1 = summary.micro_f1.map(|part| percent("F1", part));
            std::iter::once(loss(summary.loss))
                .chain(precision)
                .chain(f1)
                .collect()
        }
        Validation::Values(summary) => {
            let r2 = summary.r2.map(|r2| format!("R2 {r2:.4}"));
            std::iter::once(format!("MAE {}", short(summary.mae)))
                .chain(r2)
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Joins `parts` after `head`, separated by commas. Lines wider than [`WIDTH`] are broken between parts.
fn broken(head: &str, parts: &[String]) -> String {
    let mut text = head.to_owned();
    let mut width = head.chars().count();
    for (index, part) in parts.iter().enumerate() {
        let is_last = index + 1 == parts.len();
        let length = part.chars().count() + usize::from(!is_last);
        if index > 0 && width + 1 + length > WIDTH {
            text.push_str("\n    ");
            width = 4;
        } else if index > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(part);
        text.push_str(if is_last { "" } else { "," });
        width += length;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use effnet_data::metrics::Summary;

    #[test]
    fn the_line_of_an_epoch_fits_a_terminal() {
        let record = EpochRecord {
            epoch: 100,
            step: 1,
            lr: 2e-3,
            train_loss: 6.907_755,
            validation: Some(Validation::Classes(Summary {
                images: 9,
                top1: 1.0,
                top5: 1.0,
                loss: 12.345_678,
                ece: 0.0,
            })),
        };
        let time = EpochTime {
            epoch: 100,
            seconds: 75.0,
            images_per_second: 12_345.0,
        };
        for classes in [2, 1000] {
            let text = line(&record, 350, classes, time, true);
            assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
            assert!(text.lines().count() <= 2, "{text}");
            assert_eq!(text.contains("top-5"), classes > 5, "{text}");
            assert!(text.contains("1m 15s") && text.contains("best"), "{text}");
        }
        let without = EpochRecord {
            validation: None,
            ..record
        };
        let text = line(&without, 350, 2, time, true);
        let expected = "epoch 100/350: training loss 6.9078, lr 2.0e-3, 1m 15s, 12345 images/s";
        assert_eq!(text, expected);
    }
}

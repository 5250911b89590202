//! The table that is printed during training, with a line per epoch.
//!
//! ```text
//! epoch  train loss  val loss  top-1 %      lr  images/s  time left
//!  1/10      1.6382    0.9164    71.50  2.0e-3       212        ...  best
//!  2/10      0.8021    0.5410    84.00  1.9e-3        85     12m 5s  best
//! ```

use effnet::Task;
use effnet_cli::duration;
use effnet_train::run::{EpochRecord, EpochTime, Validation};

use super::targets::short;

/// Maximum width of a line, with the mark of the best epoch.
const WIDTH: usize = 80;
/// The header is repeated after this many epochs, so that it is on the same screen.
const ROWS_PER_HEADER: u64 = 20;
/// A time that the last epoch does not tell.
const UNKNOWN: &str = "...";
/// The mark of an epoch that is the best so far.
const BEST: &str = "best";

/// Prints the epochs of a run.
pub(super) struct EpochTable {
    columns: Vec<Column>,
    epochs: u64,
    /// The number of initial epochs that train less than the others do.
    head_epochs: u64,
    /// The number of rows so far.
    rows: u64,
}

/// A column with its header and its width.
struct Column {
    header: String,
    width: usize,
    quantity: Quantity,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Quantity {
    Epoch,
    TrainLoss,
    ValLoss,
    Top1,
    Top5,
    Map,
    MicroF1,
    Mae,
    R2,
    Rate,
    ImagesPerSecond,
    TimeLeft,
}

impl EpochTable {
    /// Creates the table of a run of `epochs` epochs. It has columns for the validation metrics if it
    /// `validates`.
    pub(super) fn new(epochs: u32, head_epochs: u32, task: Task, classes: usize, validates: bool) -> Self {
        let epochs = u64::from(epochs);
        let width = (2 * digits(epochs) + 1).max(5);
        let mut columns = vec![
            column("epoch", width, Quantity::Epoch),
            column("train loss", 10, Quantity::TrainLoss),
        ];
        if validates {
            columns.extend(metrics(task, classes));
        }
        columns.extend([
            column("lr", 6, Quantity::Rate),
            column("images/s", 8, Quantity::ImagesPerSecond),
            column("time left", 9, Quantity::TimeLeft),
        ]);
        let second = [Quantity::Top5, Quantity::MicroF1, Quantity::R2];
        if width_of(&columns) > WIDTH {
            columns.retain(|column| !second.contains(&column.quantity));
        }
        Self {
            columns,
            epochs,
            head_epochs: u64::from(head_epochs),
            rows: 0,
        }
    }

    /// Returns the lines to print after an epoch: its row, and the header before it where it is due. `part` is the part
    /// of the epoch that `time` is about, less than 1 if the run was resumed within it.
    pub(super) fn lines(
        &mut self,
        record: &EpochRecord,
        time: EpochTime,
        part: f64,
        is_best: bool,
    ) -> Vec<String> {
        let header = self.rows.is_multiple_of(ROWS_PER_HEADER).then(|| self.header());
        self.rows += 1;
        let cell = |column: &Column| {
            let text = self.cell(column.quantity, record, time, part);
            format!("{text:>width$}", width = column.width)
        };
        let mut row = self.columns.iter().map(cell).collect::<Vec<_>>().join("  ");
        if is_best && record.validation.is_some() {
            row.push_str("  ");
            row.push_str(BEST);
        }
        header.into_iter().chain([row]).collect()
    }

    fn header(&self) -> String {
        let name = |column: &Column| format!("{:>width$}", column.header, width = column.width);
        self.columns.iter().map(name).collect::<Vec<_>>().join("  ")
    }

    fn cell(&self, quantity: Quantity, record: &EpochRecord, time: EpochTime, part: f64) -> String {
        match quantity {
            Quantity::Epoch => format!("{}/{}", record.epoch, self.epochs),
            Quantity::TrainLoss => loss(record.train_loss),
            Quantity::Rate => format!("{:.1e}", record.lr),
            Quantity::ImagesPerSecond => match time.images_per_second {
                // Resumed after the last step of the epoch.
                rate if rate <= 0.0 => "-".to_owned(),
                rate if rate < 9.95 => format!("{rate:.1}"),
                rate => format!("{rate:.0}"),
            },
            Quantity::TimeLeft if time.images_per_second <= 0.0 && record.epoch < self.epochs => {
                UNKNOWN.to_owned()
            }
            Quantity::TimeLeft => self.time_left(record.epoch, time.seconds / part),
            metric => record
                .validation
                .as_ref()
                .and_then(|validation| value(metric, validation))
                .unwrap_or_else(|| "-".to_owned()),
        }
    }

    /// Returns the time that the remaining epochs take, unless they take longer than the last one, whose layers were
    /// frozen.
    fn time_left(&self, epoch: u64, seconds: f64) -> String {
        match self.epochs.saturating_sub(epoch) {
            0 => "-".to_owned(),
            _ if epoch <= self.head_epochs && self.head_epochs < self.epochs => UNKNOWN.to_owned(),
            remaining => duration(seconds * remaining as f64),
        }
    }
}

fn column(header: &str, width: usize, quantity: Quantity) -> Column {
    Column {
        header: header.to_owned(),
        width,
        quantity,
    }
}

/// Returns the columns of the validation metrics.
fn metrics(task: Task, classes: usize) -> Vec<Column> {
    let loss = column("val loss", 8, Quantity::ValLoss);
    match task {
        Task::Classify => {
            let top5 = column("top-5 %", 7, Quantity::Top5);
            let top5 = (classes > 5).then_some(top5);
            let top1 = [loss, column("top-1 %", 7, Quantity::Top1)];
            top1.into_iter().chain(top5).collect()
        }
        Task::MultiLabel => vec![
            loss,
            column("mAP %", 7, Quantity::Map),
            column("F1 %", 7, Quantity::MicroF1),
        ],
        // The loss is of standardised values, so that it is comparable to that of training; the error has their units.
        Task::Regression => vec![column("MAE", 10, Quantity::Mae), column("R2", 7, Quantity::R2)],
    }
}

fn value(quantity: Quantity, validation: &Validation) -> Option<String> {
    let percent = |part: f64| format!("{:.2}", 100.0 * part);
    match (quantity, validation) {
        (Quantity::ValLoss, Validation::Classes(summary)) => Some(loss(summary.loss)),
        (Quantity::ValLoss, Validation::Labels(summary)) => Some(loss(summary.loss)),
        (Quantity::Top1, Validation::Classes(summary)) => Some(percent(summary.top1)),
        (Quantity::Top5, Validation::Classes(summary)) => Some(percent(summary.top5)),
        (Quantity::Map, Validation::Labels(summary)) => summary.mean_average_precision.map(percent),
        (Quantity::MicroF1, Validation::Labels(summary)) => summary.micro_f1.map(percent),
        (Quantity::Mae, Validation::Values(summary)) => Some(short(summary.mae)),
        (Quantity::R2, Validation::Values(summary)) => summary.r2.map(|r2| format!("{r2:.4}")),
        _ => None,
    }
}

/// Formats a loss, which may be large after a bad start.
fn loss(loss: f64) -> String {
    if loss.abs() < 1000.0 {
        format!("{loss:.4}")
    } else {
        format!("{loss:.2e}")
    }
}

fn digits(number: u64) -> usize {
    number.to_string().len()
}

fn width_of(columns: &[Column]) -> usize {
    columns.iter().map(|column| column.width + 2).sum::<usize>() + BEST.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use effnet_data::metrics::{MultiLabelMetrics, RegressionMetrics, Summary};

    fn record(epoch: u64, validation: Option<Validation>) -> EpochRecord {
        EpochRecord {
            epoch,
            step: 10 * epoch,
            lr: 2e-3,
            train_loss: 12.345_678,
            validation,
            best: false,
        }
    }

    fn classes() -> Validation {
        Validation::Classes(Summary {
            images: 9,
            top1: 1.0,
            top5: 1.0,
            loss: 123.456_78,
            ece: 0.0,
        })
    }

    fn labels() -> Validation {
        let mut metrics = MultiLabelMetrics::new(1);
        metrics.push(&[1.0], &[true]).unwrap();
        Validation::Labels(metrics.summary(&[0.5]).unwrap())
    }

    fn values() -> Validation {
        let mut metrics = RegressionMetrics::new(1);
        for value in [1.0, -9e6] {
            metrics.push(&[1.0], &[value]).unwrap();
        }
        Validation::Values(metrics.summary().unwrap())
    }

    fn time(epoch: u64) -> EpochTime {
        EpochTime {
            epoch,
            seconds: 75.0,
            images_per_second: 12_345.0,
        }
    }

    #[test]
    fn every_line_fits_80_columns_and_stands_below_its_header() {
        let tasks = [
            (Task::Classify, 2, classes()),
            (Task::Classify, 1000, classes()),
            (Task::MultiLabel, 1, labels()),
            (Task::Regression, 1, values()),
        ];
        for (task, classes, validation) in tasks {
            for epochs in [1, 10, 350, 100_000] {
                let mut table = EpochTable::new(epochs, 0, task, classes, true);
                let lines = table.lines(&record(1, Some(validation)), time(1), 1.0, true);
                let [header, row] = &lines[..] else {
                    panic!("{lines:?}")
                };
                assert!(row.chars().count() <= WIDTH, "{row}");
                assert_eq!(format!("{header}  {BEST}").len(), row.len(), "{header}\n{row}");
                // Columns end together.
                let ends = |line: &str| line.rfind(|c: char| c != ' ').unwrap();
                assert_eq!(ends(header) + 2 + BEST.len(), ends(row), "{header}\n{row}");
            }
        }
        let mut table = EpochTable::new(10, 0, Task::Classify, 1000, true);
        assert!(table.lines(&record(1, Some(classes())), time(1), 1.0, true)[0].contains("top-5 %"));
    }

    #[test]
    fn the_header_is_repeated_and_the_rows_are_plain() {
        let mut table = EpochTable::new(50, 0, Task::Classify, 3, false);
        let mut found = Vec::new();
        for epoch in 1..=50 {
            found.extend(table.lines(&record(epoch, None), time(epoch), 1.0, true));
        }
        assert_eq!(found.iter().filter(|line| line.contains("train loss")).count(), 3);
        assert_eq!(found.len(), 53);
        assert_eq!(found[0], "epoch  train loss      lr  images/s  time left");
        assert_eq!(found[1], " 1/50     12.3457  2.0e-3     12345      1h 1m");
        assert!(found[52].ends_with("         -"), "{}", found[52]);
    }

    #[test]
    fn the_time_left_is_that_of_the_epochs_to_come() {
        let mut table = EpochTable::new(10, 1, Task::Classify, 3, false);
        let mut left = |epoch, part| {
            let lines = table.lines(&record(epoch, None), time(epoch), part, false);
            lines
                .last()
                .unwrap()
                .split("  ")
                .last()
                .unwrap()
                .trim()
                .to_owned()
        };
        // The first epoch trains the classifier only.
        assert_eq!(left(1, 1.0), "...");
        assert_eq!(left(2, 1.0), "10m 0s");
        // A quarter of the epoch took so long.
        assert_eq!(left(9, 0.25), "5m 0s");
        assert_eq!(left(10, 1.0), "-");
    }
}

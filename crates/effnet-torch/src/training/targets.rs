//! The targets of other tasks than classification: the labels of each image, or its values.
//!
//! Values are standardised, because a network learns prices of thousands as slowly as it forgets them. Mean and standard
//! deviation are saved with the weights, and the outputs are scaled back when the weights are opened.

use std::sync::Arc;

use effnet::Task;
use effnet_data::Dataset;
use effnet_train::Targets;
use effnet_train::data::Loader;
pub(super) use effnet_train::run::short;
use tch::Tensor;

/// Lets a loader yield the targets of its data set's task. `scale` is the mean and the standard deviation of each value.
pub(super) fn attach(loader: Loader, scale: Option<&[Vec<f64>; 2]>) -> Loader {
    let dataset = Arc::clone(loader.dataset());
    if dataset.task() == Task::Classify {
        return loader;
    }
    let columns = dataset.classes().len();
    let scale = scale.cloned();
    loader.with_targets(move |indices| {
        let mut values = vec![0.0; indices.len() * columns];
        for (row, index) in values.chunks_exact_mut(columns.max(1)).zip(indices) {
            dataset.values(*index, row);
            if let Some([mean, std]) = &scale {
                for (value, (mean, std)) in row.iter_mut().zip(mean.iter().zip(std)) {
                    *value = ((f64::from(*value) - mean) / std) as f32;
                }
            }
        }
        let shape = [indices.len() as i64, columns as i64];
        Ok(Targets::Values(Tensor::f_from_slice(&values)?.f_reshape(shape)?))
    })
}

/// Returns the mean and the standard deviation of each value. The deviation of a constant is 1.
pub(super) fn scale(dataset: &dyn Dataset) -> [Vec<f64>; 2] {
    let columns = dataset.classes().len();
    let (mut mean, mut spread) = (vec![0.0; columns], vec![0.0; columns]);
    let mut row = vec![0.0; columns];
    for index in 0..dataset.len() {
        dataset.values(index, &mut row);
        for (column, value) in row.iter().enumerate() {
            let distance = f64::from(*value) - mean[column];
            mean[column] += distance / (index + 1) as f64;
            spread[column] += distance * (f64::from(*value) - mean[column]);
        }
    }
    let deviation = |spread: f64| match (spread / dataset.len().max(1) as f64).sqrt() {
        std if std > 0.0 => std,
        _ => 1.0,
    };
    [mean, spread.into_iter().map(deviation).collect()]
}

/// Describes the values: `values: price 12.3 ± 4.5`.
pub(super) fn describe(names: &[String], [mean, std]: &[Vec<f64>; 2]) -> String {
    let value =
        |((name, mean), std): ((&String, &f64), &f64)| format!("{name} {} ± {}", short(*mean), short(*std));
    let values = names.iter().zip(mean).zip(std).map(value);
    format!("values: {}", values.collect::<Vec<_>>().join(", "))
}

//! Runs the network on the images of a data set.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use effnet::{DecodeFailure, Output, Pipeline, Reader};

use super::Evaluated;
use super::data::Labelled;
use crate::inference::Network;
use crate::interrupt::Interrupt;
use crate::outputs::for_each_output;
use crate::printer::counted;

impl Evaluated<'_> {
    /// Calls `add` with each image, its name, and the outputs of the network for it, in the order of the data set.
    /// Returns the seconds that it took, or `None` if the user interrupted it.
    pub(super) fn for_each_image(
        &self,
        network: Network,
        mut add: impl FnMut(&Labelled, &str, &Result<Vec<f32>, DecodeFailure>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<f64>> {
        let (execution, printer) = (&self.inference.execution, self.printer);
        let (count, transform) = (self.dataset.len(), self.inference.transform);
        let requested = self.arguments.inference.network.batch_size;
        let of = (&network.config, &*network.backend);
        let batch_size = execution.batch_size(of, requested, count, transform.image_size)?;
        printer.detail(format!(
            "{} in batches of up to {batch_size}",
            counted(count, "image")
        ));
        let interrupt = Interrupt::listen();
        let start = Instant::now();
        let images = Labelled::all(Arc::clone(self.dataset));
        let reader = Reader::start(images, transform, execution.threads, interrupt.flag())?;
        let outputs = Pipeline::new(reader, network.backend, batch_size)?;
        let progress = printer.progress(count as u64);
        for_each_output(
            outputs,
            &progress,
            &interrupt,
            printer,
            |Output { input, result }, _| {
                let name = input.name();
                printer.image_warnings(|| &name, input.warnings());
                add(&input, &name, &result).with_context(|| name)
            },
        )?;
        if interrupt.is_set() {
            printer.warning("interrupted: discarded the partial results");
            return Ok(None);
        }
        Ok(Some(start.elapsed().as_secs_f64()))
    }
}

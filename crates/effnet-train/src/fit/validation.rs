//! The validation after each epoch.

use super::frozen::KeptValidation;
use super::{Fit, Observer, Work};
use crate::data::FitData;
use crate::error::FailedValidation;
use crate::{Checkpointer, Error, Measure, Network, Position};

impl<N: Network, D: FitData> Fit<N, D> {
    /// Evaluates the network, or its EMA, on the validation images of all processes; `None` if there are none.
    pub(super) fn validate<O: Observer<D::Metrics>>(
        &mut self,
        observer: &mut O,
    ) -> Result<Work<Option<D::Metrics>>, O::Error> {
        let batches = self.data.validation_batches();
        if batches == 0 {
            return Ok(Work::Done(None));
        }
        observer.validation_started(batches)?;
        let mut own = self.data.metrics();
        let is_done = self.measure(&mut own, observer)?;
        if self.is_interrupted(observer)? || !is_done {
            return Ok(Work::Interrupted);
        }
        Ok(Work::Done(Some(self.merged(own)?)))
    }

    /// Evaluates this process's validation images; `false` if interrupted.
    fn measure<O: Observer<D::Metrics>>(
        &mut self,
        metrics: &mut D::Metrics,
        observer: &mut O,
    ) -> Result<bool, O::Error> {
        let version = self.trainer.features_version()?;
        if let Some(kept) = self.kept.validation(version) {
            return self.measure_kept(kept, metrics, observer);
        }
        let Some(mut batches) = self.data.validation()? else {
            return Ok(true);
        };
        let evaluator = self.trainer.evaluator()?;
        // Once all layers are trained, these features are of no use.
        let mut keeping = self
            .kept
            .keep_validation(version.filter(|_| self.trainer.is_frozen()));
        for batch in batches.by_ref() {
            let batch = batch?;
            let features = evaluator.features(&batch.images)?;
            let added = metrics.add(&evaluator.head(&features)?, &batch.targets);
            added.map_err(|error| self.validation_failed(error))?;
            keeping = keeping.and_then(|keeping| keeping.with(features, batch.targets));
            observer.validated()?;
            if observer.is_interrupted() {
                return Ok(false);
            }
        }
        let unreadable = self.data.unreadable(&batches);
        for image in unreadable {
            observer.unreadable(image)?;
        }
        if let Some(keeping) = &mut keeping {
            keeping.unreadable = unreadable.to_vec();
        }
        drop(evaluator);
        self.kept.set_validation(keeping);
        Ok(true)
    }

    /// Evaluates the head on features that have not changed.
    fn measure_kept<O: Observer<D::Metrics>>(
        &self,
        kept: &KeptValidation,
        metrics: &mut D::Metrics,
        observer: &mut O,
    ) -> Result<bool, O::Error> {
        for (features, targets) in &kept.batches {
            let added = metrics.add(&self.trainer.evaluate_head(features)?, targets);
            added.map_err(|error| self.validation_failed(error))?;
            observer.validated()?;
            if observer.is_interrupted() {
                return Ok(false);
            }
        }
        for image in &kept.unreadable {
            observer.unreadable(image)?;
        }
        Ok(true)
    }

    /// Returns the metrics of all processes, merged in the order of their ranks.
    fn merged(&self, own: D::Metrics) -> Result<D::Metrics, Error> {
        let Some(group) = self.group() else {
            return Ok(own);
        };
        let unlike = |error: serde_json::Error| Error::StateMismatch {
            what: "the metrics of another rank",
            difference: format!("it runs a different version of this program ({error})"),
        };
        let text = serde_json::to_vec(&own).map_err(unlike)?;
        let mut merged: Option<D::Metrics> = None;
        for text in group.all_gather_bytes(&text)? {
            let part: D::Metrics = serde_json::from_slice(&text).map_err(unlike)?;
            match &mut merged {
                Some(merged) => merged.merge(&part)?,
                None => merged = Some(part),
            }
        }
        Ok(merged.unwrap_or(own))
    }

    fn validation_failed(&self, error: Error) -> Error {
        let Position { epoch, step, .. } = self.trainer.position();
        let failed = FailedValidation {
            epoch,
            step,
            rate: self.rate,
            last_good: self.checkpointer().and_then(Checkpointer::last_good),
        };
        Error::Validation(Box::new(failed), Box::new(error))
    }
}

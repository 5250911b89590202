//! The reliability diagram.

use effnet_data::metrics::{Calibration, CalibrationBin};
use effnet_data::{Curve, Panel};

/// Returns the share that is right over the stated confidence, both in percent; on the diagonal, the two are equal.
pub(super) fn reliability(calibration: &Calibration) -> Panel {
    let points = calibration
        .bins()
        .iter()
        .filter_map(CalibrationBin::accuracy_and_confidence)
        .map(|(accuracy, confidence)| (100.0 * confidence, 100.0 * accuracy))
        .collect();
    Panel::new("reliability")
        .with_unit("%")
        .with_continuous(true)
        .with_curve(Curve::new("right", points))
        .with_curve(Curve::new(
            "as confident as right",
            vec![(0.0, 0.0), (100.0, 100.0)],
        ))
}

//! Thumbnails of mistakes: `mistakes.html`, and a part of `report.html`.

use anyhow::anyhow;

use super::measured::{Measured, Quality};
use super::mistakes::Mistake;
use super::{REPORT, Run};
use crate::page::{Page, path, text};
use crate::printer::counted;

/// Returns the page with the worst mistakes.
pub(super) fn render(run: &Run<'_>, measured: &Measured) -> anyhow::Result<String> {
    let name = run.name();
    let mut page = Page::new(&format!("mistakes of {name}"), &format!("Mistakes of {name}"));
    page.push(&format!(
        "<p>{} <a href=\"{REPORT}\">Report of the run</a></p>",
        about(measured)
    ));
    thumbnails(&mut page, run, measured, measured.mistakes.worst())?;
    Ok(page.finish())
}

/// Says in HTML what the mistakes are.
pub(super) fn about(measured: &Measured) -> String {
    let (all, shown) = (measured.mistakes.count, measured.mistakes.worst().len());
    let of = if all > shown {
        format!("The {shown} worst are shown. ")
    } else {
        String::new()
    };
    match measured.quality {
        Quality::Classes(_) => format!(
            "{} of {} taken for another class, the most confident first. {of}Below each are its label, the class that it is \
             taken for, and the probabilities of both.",
            all,
            counted(measured.dataset.len(), "validation image")
        ),
        Quality::Labels(..) => format!(
            "{} of {} with a wrong or a missing label, the most confident first. {of}Below each are its labels, those that \
             are predicted, and the probabilities of those that are wrong.",
            all,
            counted(measured.dataset.len(), "validation image")
        ),
        Quality::Values(..) => format!(
            "The {} of {} with the largest errors. Below each are its value, the prediction and the error.",
            counted(shown, "image"),
            counted(measured.dataset.len(), "validation image")
        ),
    }
}

/// Adds a thumbnail for each mistake. An image is decoded again, so that only one is in memory.
pub(super) fn thumbnails(
    page: &mut Page,
    run: &Run<'_>,
    measured: &Measured,
    mistakes: &[Mistake],
) -> anyhow::Result<()> {
    if mistakes.is_empty() {
        page.push("<p>None.</p>");
        return Ok(());
    }
    let data = run.data();
    page.push("<div class=\"images\">");
    for mistake in mistakes {
        let name = measured.dataset.name(mistake.index);
        let image = measured.dataset.image(mistake.index);
        let image = image.map_err(|error| anyhow!(error).context(name.clone()))?;
        let verb = match measured.quality {
            Quality::Values(..) => "predicted",
            _ => "taken for",
        };
        let caption = format!(
            "<strong>{}</strong>, {verb} <strong>{}</strong><br>{}<br><span>{}</span>",
            text(&mistake.truth),
            text(&mistake.guess),
            mistake.detail,
            path(&name, &data)
        );
        page.thumbnail(&image, &name, &caption)?;
    }
    page.push("</div>");
    Ok(())
}

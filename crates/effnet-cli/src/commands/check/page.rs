//! A web page with thumbnails of the images found.

use std::fmt::Write as _;

use anyhow::anyhow;

use super::images::CheckedImage;
use super::report::{Labelled, Report};
use super::text::word;
use crate::page::{Page, path, probability, text};

/// The largest number of thumbnails in a section, which bounds the size of the page to about 20 MB.
const MOST: usize = 120;
/// The largest number of classes that are listed without being asked for.
const MOST_CLASSES: usize = 30;

/// Images with a heading, each with a caption in HTML.
type Group<'a> = (String, Vec<(&'a Labelled<'a>, String)>);

/// Writes the page. Thumbnails are decoded again, so that only those shown are in memory.
pub(super) fn render(report: &Report<'_>, images: &[CheckedImage]) -> anyhow::Result<String> {
    let mut page = CheckPage {
        page: Page::new(&format!("effnet check: {}", report.data), &report.data),
        images,
        data: &report.data,
    };
    page.head(report);
    page.classes(report);
    page.unreadable(report);
    let groups = report.duplicates.iter().map(|group| {
        let images = group.images.iter();
        (group.kind(), images.map(|image| (image, String::new())).collect())
    });
    page.section("duplicates", "", groups.collect())?;
    let doubtful = report.doubtful_labels.iter().flatten().map(|label| {
        let caption = format!(
            "{}, {}",
            probability(label.suggested, label.suggested_probability),
            probability(label.image.label, label.probability)
        );
        (&label.image, caption)
    });
    let about = "Labels that do not fit, judged from the other images: expect about half of them to be wrong, the first \
                 ones most likely. Below each image are its label, and the probabilities of a likelier one and of its own.";
    page.section(
        "doubtful labels",
        about,
        vec![(String::new(), doubtful.collect())],
    )?;
    let outliers = report.outliers.iter();
    let outliers = outliers.map(|outlier| (&outlier.image, format!("similarity {:.2}", outlier.similarity)));
    let about = "Images unlike all others, the most unusual first. The similarity is that to the nearest images, at \
                 most 1.";
    page.section("outliers", about, vec![(String::new(), outliers.collect())])?;
    let odd = report.odd_sizes.iter();
    let odd = odd.map(|odd| {
        let caption = format!("{} × {}, {}", odd.width, odd.height, odd.oddity);
        (&odd.image, text(&caption))
    });
    page.section("odd sizes", "", vec![(String::new(), odd.collect())])?;
    Ok(page.page.finish())
}

struct CheckPage<'a> {
    page: Page,
    images: &'a [CheckedImage],
    /// The path of the data set, which the captions leave out.
    data: &'a str,
}

// Writing to a string cannot fail.
impl CheckPage<'_> {
    fn head(&mut self, report: &Report<'_>) {
        self.page.push(&format!(
            "<p>Checked with the features of {} ({}).</p>",
            text(report.model),
            text(report.weights)
        ));
        let entry = |(kind, found): (&str, String)| {
            let name = match id(report, kind) {
                Some(id) => format!("<a href=\"#{id}\">{kind}</a>"),
                None => kind.to_owned(),
            };
            (name, text(&found))
        };
        let entries: Vec<_> = report.summary().into_iter().map(entry).collect();
        self.page.list(&entries);
    }

    /// Adds the table of classes, folded if it is long.
    fn classes(&mut self, report: &Report<'_>) {
        let is_open = report.classes.len() <= MOST_CLASSES;
        self.page.push("<h2 id=\"class-balance\">Classes</h2>");
        let _ = write!(
            self.page,
            "<details{}><summary>Number of images per class</summary><table><tr><th>class</th>",
            if is_open { " open" } else { "" }
        );
        let parts: Vec<_> = report.splits.iter().map(|split| split.part).collect();
        for part in &parts {
            let _ = write!(self.page, "<th class=\"number\">{}</th>", word(*part));
        }
        self.page.push("</tr>");
        for class in &report.classes {
            let _ = write!(self.page, "<tr><td>{}</td>", text(class.label));
            for part in &parts {
                let _ = write!(self.page, "<td class=\"number\">{}</td>", class.of(*part));
            }
            self.page.push("</tr>");
        }
        self.page.push("</table></details>");
    }

    fn unreadable(&mut self, report: &Report<'_>) {
        if report.unreadable.is_empty() {
            return;
        }
        self.page
            .push("<h2 id=\"unreadable\">Unreadable</h2><dl class=\"files\">");
        for file in report.unreadable.iter().take(MOST) {
            let (image, reason) = (path(&file.image, self.data), text(&file.reason));
            let _ = write!(self.page, "<dt>{image}</dt><dd>{reason}</dd>");
        }
        self.page.push("</dl>");
        self.more(report.unreadable.len());
    }

    /// Adds groups of images.
    fn section(&mut self, kind: &str, about: &str, groups: Vec<Group<'_>>) -> anyhow::Result<()> {
        let total: usize = groups.iter().map(|(_, images)| images.len()).sum();
        if total == 0 {
            return Ok(());
        }
        let (first, rest) = kind.split_at(1);
        let _ = write!(
            self.page,
            "<h2 id=\"{}\">{}{rest}</h2>",
            anchor(kind),
            first.to_uppercase()
        );
        if !about.is_empty() {
            let _ = write!(self.page, "<p>{about}</p>");
        }
        let mut remaining = MOST;
        for (heading, images) in groups {
            if remaining == 0 {
                break;
            }
            self.page.push("<section>");
            if !heading.is_empty() {
                let (first, rest) = heading.split_at(1);
                let _ = write!(self.page, "<h3>{}{}</h3>", first.to_uppercase(), text(rest));
            }
            self.page.push("<div class=\"images\">");
            for (image, caption) in images.iter().take(remaining) {
                self.figure(image, caption)?;
            }
            remaining -= images.len().min(remaining);
            self.page.push("</div></section>");
        }
        self.more(total);
        Ok(())
    }

    /// Says that a list is cut off, if it is.
    fn more(&mut self, total: usize) {
        if total > MOST {
            let _ = write!(
                self.page,
                "<p>The first {MOST} of {total} images; --format json lists all.</p>"
            );
        }
    }

    fn figure(&mut self, image: &Labelled<'_>, caption: &str) -> anyhow::Result<()> {
        let decoded = self.images[image.index].decode();
        let decoded = decoded.map_err(|error| anyhow!(error).context(image.image.clone()))?;
        let caption = match caption {
            "" => String::new(),
            caption => format!("<br>{caption}"),
        };
        let caption = format!(
            "<strong>{}</strong>, {}{caption}<br><span>{}</span>",
            text(image.label),
            word(image.part),
            path(&image.image, self.data)
        );
        self.page.thumbnail(&decoded, &image.image, &caption)
    }
}

/// Returns the id of the section with the findings of a kind, if there are any.
fn id(report: &Report<'_>, kind: &str) -> Option<String> {
    let is_empty = match kind {
        "unreadable" => report.unreadable.is_empty(),
        "duplicates" => report.duplicates.is_empty(),
        "doubtful labels" => report.doubtful_labels.iter().flatten().next().is_none(),
        "outliers" => report.outliers.is_empty(),
        "odd sizes" => report.odd_sizes.is_empty(),
        "class balance" => false,
        _ => true,
    };
    (!is_empty).then(|| anchor(kind))
}

fn anchor(kind: &str) -> String {
    kind.replace(' ', "-")
}

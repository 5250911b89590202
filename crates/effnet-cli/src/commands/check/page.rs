//! A web page with thumbnails of the images found, in one file that opens from disk.
//!
//! It refers to no other file and runs no script, and says so in a policy that browsers enforce: file names and class
//! names come from strangers. It is readable in a narrow window, in a dark one and with the keyboard alone.

use std::fmt::Write as _;

use anyhow::Context;
use base64::Engine as _;
use effnet_data::check::thumbnail_png;

use super::images::CheckedImage;
use super::report::{Labelled, Report};
use super::text::word;
use crate::escape;

/// The largest number of thumbnails in a section, which bounds the size of the page to about 20 MB.
const MOST: usize = 120;
/// The longer side of a thumbnail in pixels.
const SIDE: usize = 128;
/// The largest number of classes that are listed without being asked for.
const MOST_CLASSES: usize = 30;

const STYLE: &str = include_str!("page.css");

/// Images with a heading, each with a caption.
type Group<'a> = (String, Vec<(&'a Labelled<'a>, String)>);

/// Writes the page. Thumbnails are decoded again, so that only those shown are in memory.
pub(super) fn render(report: &Report<'_>, images: &[CheckedImage]) -> anyhow::Result<String> {
    let mut page = Page {
        html: String::new(),
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
        (&odd.image, caption)
    });
    page.section("odd sizes", "", vec![(String::new(), odd.collect())])?;
    page.html.push_str("</main></body></html>\n");
    Ok(page.html)
}

/// Returns `daisy 97 %`, with a decimal for less than 1 % and more than 99 %, on one line.
fn probability(label: &str, probability: f64) -> String {
    let percent = 100.0 * probability;
    let decimals = usize::from(!(0.95..99.05).contains(&percent));
    format!("{label}\u{a0}{percent:.decimals$}\u{a0}%")
}

struct Page<'a> {
    html: String,
    images: &'a [CheckedImage],
    /// The path of the data set, which the captions leave out.
    data: &'a str,
}

// Writing to a string cannot fail.
impl Page<'_> {
    fn head(&mut self, report: &Report<'_>) {
        let title = text(&report.data);
        let _ = write!(
            self.html,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"color-scheme\" content=\"light dark\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
             style-src 'unsafe-inline'\"><title>effnet check: {title}</title><style>{STYLE}</style></head>\
             <body><main><h1>{title}</h1><p>Checked with the features of {} ({}).</p><dl>",
            text(report.model),
            text(report.weights)
        );
        for (kind, found) in report.summary() {
            let name = match id(report, kind) {
                Some(id) => format!("<a href=\"#{id}\">{kind}</a>"),
                None => kind.to_owned(),
            };
            let _ = write!(self.html, "<dt>{name}</dt><dd>{}</dd>", text(&found));
        }
        self.html.push_str("</dl>");
    }

    /// Adds the table of classes, folded if it is long.
    fn classes(&mut self, report: &Report<'_>) {
        let is_open = report.classes.len() <= MOST_CLASSES;
        self.html.push_str("<h2 id=\"class-balance\">Classes</h2>");
        let _ = write!(
            self.html,
            "<details{}><summary>Number of images per class</summary><table><tr><th>class</th>",
            if is_open { " open" } else { "" }
        );
        let parts: Vec<_> = report.splits.iter().map(|split| split.part).collect();
        for part in &parts {
            let _ = write!(self.html, "<th class=\"number\">{}</th>", word(*part));
        }
        self.html.push_str("</tr>");
        for class in &report.classes {
            let _ = write!(self.html, "<tr><td>{}</td>", text(class.label));
            for part in &parts {
                let _ = write!(self.html, "<td class=\"number\">{}</td>", class.of(*part));
            }
            self.html.push_str("</tr>");
        }
        self.html.push_str("</table></details>");
    }

    fn unreadable(&mut self, report: &Report<'_>) {
        if report.unreadable.is_empty() {
            return;
        }
        self.html
            .push_str("<h2 id=\"unreadable\">Unreadable</h2><dl class=\"files\">");
        for file in report.unreadable.iter().take(MOST) {
            let (image, reason) = (self.path(&file.image), text(&file.reason));
            let _ = write!(self.html, "<dt>{image}</dt><dd>{reason}</dd>");
        }
        self.html.push_str("</dl>");
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
            self.html,
            "<h2 id=\"{}\">{}{rest}</h2>",
            anchor(kind),
            first.to_uppercase()
        );
        if !about.is_empty() {
            let _ = write!(self.html, "<p>{about}</p>");
        }
        let mut remaining = MOST;
        for (heading, images) in groups {
            if remaining == 0 {
                break;
            }
            self.html.push_str("<section>");
            if !heading.is_empty() {
                let (first, rest) = heading.split_at(1);
                let _ = write!(self.html, "<h3>{}{}</h3>", first.to_uppercase(), text(rest));
            }
            self.html.push_str("<div class=\"images\">");
            for (image, caption) in images.iter().take(remaining) {
                self.figure(image, caption)?;
            }
            remaining -= images.len().min(remaining);
            self.html.push_str("</div></section>");
        }
        self.more(total);
        Ok(())
    }

    /// Says that a list is cut off, if it is.
    fn more(&mut self, total: usize) {
        if total > MOST {
            let _ = write!(
                self.html,
                "<p>The first {MOST} of {total} images; --format json lists all.</p>"
            );
        }
    }

    fn figure(&mut self, image: &Labelled<'_>, caption: &str) -> anyhow::Result<()> {
        let decoded = self.images[image.index].decode();
        let decoded = decoded.map_err(|error| anyhow::anyhow!(error));
        let png = decoded
            .and_then(|image| Ok(thumbnail_png(&image, SIDE)?))
            .with_context(|| format!("{}: cannot make a thumbnail", image.image))?;
        let caption = match caption {
            "" => String::new(),
            caption => format!("<br>{}", text(caption)),
        };
        let _ = write!(
            self.html,
            "<figure><img alt=\"\" src=\"data:image/png;base64,{}\"><figcaption><strong>{}</strong>, {}{caption}<br>\
             <span>{}</span></figcaption></figure>",
            base64::engine::general_purpose::STANDARD.encode(png),
            text(image.label),
            word(image.part),
            self.path(&image.image),
        );
        Ok(())
    }

    /// Returns the name of an image for HTML, without the path of the data set. It may be broken after each folder.
    fn path(&self, name: &str) -> String {
        let below = name.strip_prefix(self.data);
        let below = below.map(|name| name.trim_start_matches('/'));
        let name = below.filter(|name| !name.is_empty()).unwrap_or(name);
        text(name).replace('/', "/<wbr>")
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

/// Escapes text for HTML. Control characters and characters that reverse the text after them become visible.
fn text(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for c in escape::line(value).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(
            text("<img src=x onerror='a&b'>\"\n\u{202e}"),
            "&lt;img src=x onerror=&#39;a&amp;b&#39;&gt;&quot;\\n\\u{202e}"
        );
    }
}

//! A web page with thumbnails of the images found, in one file that opens from disk.
//!
//! It refers to no other file and runs no script, and says so in a policy that browsers enforce: file names and class
//! names come from strangers.

use std::fmt::Write as _;

use anyhow::Context;
use base64::Engine as _;
use effnet_data::check::thumbnail_png;

use super::images::CheckedImage;
use super::report::{Labelled, Report};
use crate::escape;

/// The largest number of thumbnails in a section, which bounds the size of the page to about 20 MB.
const MOST: usize = 120;
/// The longer side of a thumbnail in pixels.
const SIDE: usize = 128;

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:2em;color:#262b33;background:#fff}\
table{border-collapse:collapse}td,th{text-align:left;padding:.2em 1.2em .2em 0}\
.group{border-top:1px solid #e6e8ec;padding:.6em 0}\
figure{display:inline-block;vertical-align:top;width:140px;margin:.4em;overflow-wrap:anywhere;font-size:12px}\
img{max-width:128px;max-height:128px}";

/// Writes the page. Thumbnails are decoded again, so that only those shown are in memory.
pub(super) fn render(report: &Report<'_>, images: &[CheckedImage]) -> anyhow::Result<String> {
    let mut page = Page {
        html: String::new(),
        images,
    };
    page.head(report);
    page.unreadable(report);
    let groups = report.duplicates.iter();
    let groups = groups.map(|group| {
        (
            group.kind(),
            group.images.iter().map(|image| (image, String::new())).collect(),
        )
    });
    page.section("Duplicates", groups.collect())?;
    let doubtful = report.doubtful_labels.iter().flatten().map(|label| {
        let caption = format!(
            "{:.3}, probably {} ({:.3})",
            label.probability, label.suggested, label.suggested_probability
        );
        (&label.image, caption)
    });
    page.section("Doubtful labels", vec![(String::new(), doubtful.collect())])?;
    let outliers = report.outliers.iter();
    let outliers = outliers.map(|outlier| (&outlier.image, format!("similarity {:.3}", outlier.similarity)));
    page.section("Outliers", vec![(String::new(), outliers.collect())])?;
    let odd = report.odd_sizes.iter();
    let odd = odd.map(|odd| {
        (
            &odd.image,
            format!("{} x {}, {}", odd.width, odd.height, odd.oddity),
        )
    });
    page.section("Odd sizes", vec![(String::new(), odd.collect())])?;
    page.html.push_str("</body></html>\n");
    Ok(page.html)
}

struct Page<'a> {
    html: String,
    images: &'a [CheckedImage],
}

impl Page<'_> {
    fn head(&mut self, report: &Report<'_>) {
        let title = text(&report.data);
        // Writing to a string cannot fail.
        let _ = write!(
            self.html,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
             style-src 'unsafe-inline'\"><title>effnet check: {title}</title><style>{STYLE}</style></head>\
             <body><h1>{title}</h1><table>"
        );
        for (kind, found) in report.summary() {
            let _ = write!(self.html, "<tr><th>{kind}</th><td>{}</td></tr>", text(&found));
        }
        self.html.push_str(
            "</table><h2>Classes</h2><table><tr><th>class</th><th>training</th><th>validation</th></tr>",
        );
        for class in &report.classes {
            let label = text(class.label);
            let _ = write!(
                self.html,
                "<tr><td>{label}</td><td>{}</td><td>{}</td></tr>",
                class.train, class.val
            );
        }
        self.html.push_str("</table>");
    }

    fn unreadable(&mut self, report: &Report<'_>) {
        if report.unreadable.is_empty() {
            return;
        }
        self.html.push_str("<h2>Unreadable</h2><table>");
        for file in report.unreadable {
            let (image, reason) = (text(&file.image), text(&file.reason));
            let _ = write!(self.html, "<tr><td>{image}</td><td>{reason}</td></tr>");
        }
        self.html.push_str("</table>");
    }

    /// Adds groups of images, each with a heading and with captions.
    fn section(
        &mut self,
        heading: &str,
        groups: Vec<(String, Vec<(&Labelled<'_>, String)>)>,
    ) -> anyhow::Result<()> {
        let total: usize = groups.iter().map(|(_, images)| images.len()).sum();
        if total == 0 {
            return Ok(());
        }
        let _ = write!(self.html, "<h2>{heading}</h2>");
        let mut left = MOST;
        for (kind, images) in groups {
            if left == 0 {
                break;
            }
            let _ = write!(self.html, "<div class=\"group\">{}<br>", text(&kind));
            for (image, caption) in images.iter().take(left) {
                self.figure(image, caption)?;
            }
            left -= images.len().min(left);
            self.html.push_str("</div>");
        }
        if total > MOST {
            let _ = write!(
                self.html,
                "<p>The first {MOST} of {total} images; --format json lists all.</p>"
            );
        }
        Ok(())
    }

    fn figure(&mut self, image: &Labelled<'_>, caption: &str) -> anyhow::Result<()> {
        let decoded = self.images[image.index].decode();
        let decoded = decoded.map_err(|error| anyhow::anyhow!(error));
        let png = decoded
            .and_then(|image| Ok(thumbnail_png(&image, SIDE)?))
            .with_context(|| format!("{}: cannot make a thumbnail", image.image))?;
        let _ = write!(
            self.html,
            "<figure><img alt=\"\" src=\"data:image/png;base64,{}\"><figcaption>{}<br>{}, {}<br>{}</figcaption></figure>",
            base64::engine::general_purpose::STANDARD.encode(png),
            text(&image.image),
            text(image.label),
            image.part,
            text(caption)
        );
        Ok(())
    }
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

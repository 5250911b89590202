//! Web pages in one file that open from disk: the frame, the style and the escaping that all of them share.
//!
//! A page refers to no other site and runs no script, and says so in a policy that browsers enforce: file names and class
//! names come from strangers. It is readable in a narrow window, in a dark one and with the keyboard alone.

pub(crate) mod chart;

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use base64::Engine as _;
use effnet_data::check::thumbnail_png;
use effnet_image::Image;

use crate::escape;
use crate::training::recorded_split::name_within;

/// The longer side of a thumbnail in pixels.
const SIDE: usize = 128;

const STYLE: &str = include_str!("page/page.css");

/// A page that is being written. What is pushed is HTML; [`text`] makes HTML of text.
pub(crate) struct Page {
    html: String,
}

// Writing to a string cannot fail.
impl Page {
    /// Starts a page with the title of its window and its heading, both text.
    pub(crate) fn new(title: &str, heading: &str) -> Self {
        let (title, heading) = (text(title), text(heading));
        let html = format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <meta name=\"color-scheme\" content=\"light dark\">\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; \
             style-src 'unsafe-inline'\"><title>{title}</title><style>{STYLE}</style></head>\
             <body><main><h1>{heading}</h1>"
        );
        Self { html }
    }

    /// Adds HTML.
    pub(crate) fn push(&mut self, html: &str) {
        self.html.push_str(html);
    }

    /// Starts a section with a heading in HTML.
    pub(crate) fn heading(&mut self, id: &str, heading: &str) {
        let _ = write!(self.html, "<h2 id=\"{id}\">{heading}</h2>");
    }

    /// Adds a list of names and values in HTML.
    pub(crate) fn list(&mut self, entries: &[(String, String)]) {
        self.html.push_str("<dl>");
        for (name, value) in entries {
            let _ = write!(self.html, "<dt>{name}</dt><dd>{value}</dd>");
        }
        self.html.push_str("</dl>");
    }

    /// Adds a table of text, whose columns are numbers after the first `names`. It can be scrolled sideways.
    pub(crate) fn table(
        &mut self,
        caption: &str,
        headers: &[&str],
        names: usize,
        rows: impl IntoIterator<Item = Vec<String>>,
    ) {
        let class = |column: usize| if column < names { "" } else { " class=\"number\"" };
        let _ = write!(
            self.html,
            "<div class=\"wide\" role=\"region\" aria-label=\"{}\" tabindex=\"0\"><table><thead><tr>",
            text(caption)
        );
        for (column, header) in headers.iter().enumerate() {
            let _ = write!(
                self.html,
                "<th scope=\"col\"{}>{}</th>",
                class(column),
                text(header)
            );
        }
        self.html.push_str("</tr></thead><tbody>");
        for row in rows {
            self.html.push_str("<tr>");
            for (column, cell) in row.iter().enumerate() {
                let _ = write!(self.html, "<td{}>{}</td>", class(column), text(cell));
            }
            self.html.push_str("</tr>");
        }
        self.html.push_str("</tbody></table></div>");
    }

    /// Adds a thumbnail of an image with a caption in HTML. `name` is the image's, for screen readers and an error.
    pub(crate) fn thumbnail(&mut self, image: &Image, name: &str, caption: &str) -> anyhow::Result<()> {
        let png = thumbnail_png(image, SIDE).with_context(|| format!("{name}: cannot make a thumbnail"))?;
        let _ = write!(
            self.html,
            "<figure><img alt=\"{}\" src=\"{}\"><figcaption>{caption}</figcaption></figure>",
            text(name),
            png_uri(&png)
        );
        Ok(())
    }

    /// Returns the whole page.
    pub(crate) fn finish(mut self) -> String {
        self.html.push_str("</main></body></html>\n");
        self.html
    }
}

impl std::fmt::Write for Page {
    /// Adds HTML.
    fn write_str(&mut self, html: &str) -> std::fmt::Result {
        self.push(html);
        Ok(())
    }
}

/// Returns the address of a PNG that is part of the page.
pub(crate) fn png_uri(png: &[u8]) -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode(png);
    format!("data:image/png;base64,{encoded}")
}

/// Escapes text for HTML. Control characters and characters that reverse the text after them become visible.
pub(crate) fn text(value: &str) -> String {
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

/// Returns the name of an image for HTML, without the path of its data set, or of the folder of its table. It may be broken
/// after each folder.
pub(crate) fn path(name: &str, data: &str) -> String {
    let below = name_within(Path::new(data), name);
    let name = if below.is_empty() { name } else { &below };
    text(name).replace('/', "/<wbr>")
}

/// Returns text for HTML such as `daisy 97 %`, with a decimal for less than 1 % and more than 99 %, on one line.
pub(crate) fn probability(label: &str, probability: f64) -> String {
    let percent = 100.0 * probability;
    let decimals = usize::from(!(0.95..99.05).contains(&percent));
    format!("{}\u{a0}{percent:.decimals$}\u{a0}%", text(label))
}

#[cfg(test)]
mod tests {
    use test_support::{color_distance, seen_by_color_blind};

    use super::{STYLE, path, probability, text};

    #[test]
    fn names_cannot_become_markup() {
        assert_eq!(
            text("<img src=x onerror='a&b'>\"\n\u{202e}"),
            "&lt;img src=x onerror=&#39;a&amp;b&#39;&gt;&quot;\\n\\u{202e}"
        );
        assert_eq!(path("a/b<c/d.jpg", "a"), "b&lt;c/<wbr>d.jpg");
        assert_eq!(path("/a/b/c.jpg", "/a/list.csv"), "b/<wbr>c.jpg");
        assert_eq!(probability("<b>", 0.9996), "&lt;b&gt;\u{a0}100.0\u{a0}%");
    }

    /// The values of a colour of the style: in a light window, then in a dark one.
    fn colors(name: &str) -> Vec<[u8; 3]> {
        let start = format!("--{name}: #");
        let values = STYLE.split(&start).skip(1);
        let byte = |value: &str, at: usize| u8::from_str_radix(&value[at..at + 2], 16).unwrap();
        values.map(|value| [0, 2, 4].map(|at| byte(value, at))).collect()
    }

    #[test]
    fn the_series_of_charts_differ_for_the_color_blind_in_light_and_dark_windows() {
        let pairs: Vec<_> = colors("series-1").into_iter().zip(colors("series-2")).collect();
        assert_eq!(pairs.len(), 2);
        for (first, second) in pairs {
            let seen = seen_by_color_blind(first)
                .into_iter()
                .zip(seen_by_color_blind(second));
            for (first, second) in seen {
                let distance = color_distance(first, second);
                assert!(distance > 40.0, "{first:?} and {second:?}: {distance}");
            }
        }
    }
}

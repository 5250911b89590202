//! Finds the class that a user names, on the command line or in a program.
//!
//! ImageNet's classes have names such as "tench, Tinca tinca", which nobody types in full.

use crate::Labels;

/// Maximum number of names that an error lists.
const NEAREST: usize = 3;

/// A class that the network does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: no such class; {}", advice(nearest, *classes))]
#[non_exhaustive]
pub struct UnknownClass {
    /// The requested name.
    pub name: String,
    /// The most similar names, best first.
    pub nearest: Vec<String>,
    /// Number of classes.
    pub classes: usize,
}

fn advice(nearest: &[String], classes: usize) -> String {
    let names = nearest.iter().map(|name| format!("`{name}`"));
    let names = names.collect::<Vec<_>>().join(", ");
    let range = format!("a number from 0 to {}", classes.saturating_sub(1));
    if nearest.is_empty() {
        return format!("expected the name of a class, or {range}");
    }
    format!("the nearest names are {names}; expected one of the network's names, or {range}")
}

impl Labels {
    /// Returns the class with this name. Accepts a class name, an ImageNet synset ID or a class number. Case does not
    /// matter, underscores and hyphens may replace spaces, and one of several synonyms is enough.
    ///
    /// # Errors
    /// [`UnknownClass`] with the nearest names.
    pub fn find(&self, name: &str) -> Result<usize, UnknownClass> {
        let names = [name.to_owned()];
        if let Ok(classes) = crate::match_classes(&names, self)
            && let &[class] = &classes[..]
        {
            return Ok(class);
        }
        let lower = name.trim().to_lowercase();
        let similarity = |label: &str| {
            let parts = label.split(',').map(|part| part.trim().to_lowercase());
            let parts = parts.map(|part| strsim::jaro_winkler(&lower, &part));
            parts.fold(0.0, f64::max)
        };
        let mut near: Vec<(f64, &String)> = self
            .names()
            .iter()
            .map(|label| (similarity(label), label))
            .filter(|(similarity, _)| *similarity > 0.75)
            .collect();
        near.sort_by(|a, b| b.0.total_cmp(&a.0));
        Err(UnknownClass {
            name: name.to_owned(),
            nearest: near
                .into_iter()
                .take(NEAREST)
                .map(|(_, label)| label.clone())
                .collect(),
            classes: self.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_found_by_name_synonym_id_and_number() {
        let labels = Labels::imagenet().unwrap();
        let coyote = labels.find("coyote").unwrap();
        assert!(labels.get(coyote).contains("coyote"));
        for name in ["272", "n02114855", "Coyote", labels.get(272)] {
            assert_eq!(labels.find(name), Ok(272), "{name}");
        }
    }

    #[test]
    fn an_unknown_name_lists_the_nearest_ones() {
        let labels = Labels::imagenet().unwrap();
        let error = labels.find("coyotte").unwrap_err();
        assert!(error.nearest[0].contains("coyote"), "{error}");
        assert!(error.to_string().contains("0 to 999"), "{error}");
        for name in ["1000", "-1", ""] {
            assert!(labels.find(name).is_err(), "{name}");
        }
    }
}

//! Finds networks anywhere in a saved object.
//!
//! Training programs keep the network under keys and prefixes of their own: `weights`, `net.`, `student.`. A
//! list of them would never be complete. This module instead looks for names that every network contains
//! exactly once, its anchors: each anchor marks a network, and whatever precedes it is the prefix of that
//! network. The module also collects what the file states about itself in addition to the tensors.

use crate::error::ErrorKind;
use crate::object::Objects;
use crate::pickle::{Object, Value};

/// Maximum number of keys above a state_dict, such as `callbacks`, its class and `state`. Two or three are
/// common.
const MAX_DEPTH: usize = 4;
/// Maximum number of submodules above the layer that is an anchor.
const MAX_MODULE_DEPTH: usize = 12;
/// Maximum number of networks that are distinguished; an error lists fewer.
const MAX_SITES: usize = 64;
/// Maximum number of statements to keep, and their maximum length in bytes.
const MAX_STATEMENTS: usize = 256;
const MAX_TEXT: usize = 200;

/// The location of a network: the keys that lead to the mapping or module that holds it, joined by dots, and
/// the prefix of its names there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Site {
    pub(crate) path: String,
    pub(crate) value: Value,
    pub(crate) prefix: String,
}

impl Site {
    /// Returns the `--key` that selects this network and no other.
    pub(crate) fn key(&self) -> String {
        let prefix = self.prefix.trim_end_matches('.');
        let parts = [self.path.as_str(), prefix];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        parts.join(".")
    }
}

/// Returns the part of a name that precedes an anchor. It is empty or ends with a dot.
pub(crate) fn prefix_of<'a>(name: &'a str, anchors: &[&str]) -> Option<&'a str> {
    anchors
        .iter()
        .filter_map(|anchor| name.strip_suffix(anchor))
        .find(|prefix| prefix.is_empty() || prefix.ends_with('.'))
}

/// A walk over the keys of a saved object.
pub(crate) struct Search<'a> {
    pub(crate) objects: &'a Objects<'a>,
    pub(crate) anchors: &'a [&'a str],
}

impl Search<'_> {
    /// Returns all networks within the value at `path`.
    pub(crate) fn sites(&self, value: Value, path: &str) -> Result<Vec<Site>, ErrorKind> {
        let mut sites = Vec::new();
        self.visit(value, path, 0, &mut sites)?;
        Ok(sites)
    }

    fn visit(&self, value: Value, path: &str, depth: usize, sites: &mut Vec<Site>) -> Result<(), ErrorKind> {
        if let Some(module) = self.objects.module(value) {
            let mut prefixes = Vec::new();
            self.visit_module(module, "", 0, &mut prefixes)?;
            return self.add(value, path, prefixes, sites);
        }
        let mut prefixes = Vec::new();
        for (key, member) in self.members(value)? {
            let Some(key) = self.key(key)? else { continue };
            if let Some(prefix) = prefix_of(&key, self.anchors) {
                if !matches!(self.objects.tensor(member), Ok(None)) {
                    prefixes.push(prefix.to_owned());
                }
            } else {
                self.descend(member, path, &key, depth, sites)?;
            }
        }
        for (index, &element) in self.elements(value)?.iter().enumerate() {
            if matches!(element, Value::Node(_)) {
                self.descend(element, path, &index.to_string(), depth, sites)?;
            }
        }
        self.add(value, path, prefixes, sites)
    }

    fn descend(
        &self,
        member: Value,
        path: &str,
        key: &str,
        depth: usize,
        sites: &mut Vec<Site>,
    ) -> Result<(), ErrorKind> {
        if depth == MAX_DEPTH {
            return Ok(());
        }
        let path = join(path, key);
        self.objects.graph.budget.name(path.len())?;
        self.visit(member, &path, depth + 1, sites)
    }

    fn add(
        &self,
        value: Value,
        path: &str,
        prefixes: Vec<String>,
        sites: &mut Vec<Site>,
    ) -> Result<(), ErrorKind> {
        for prefix in prefixes {
            self.objects.graph.budget.name(path.len() + prefix.len())?;
            let site = Site {
                path: path.to_owned(),
                value,
                prefix,
            };
            // A key may be assigned twice, or a state_dict may be reached through two keys of the same name.
            if sites.len() < MAX_SITES && !sites.contains(&site) {
                sites.push(site);
            }
        }
        Ok(())
    }

    /// Collects the prefixes of the networks within a module.
    fn visit_module(
        &self,
        module: &Object,
        prefix: &str,
        depth: usize,
        prefixes: &mut Vec<String>,
    ) -> Result<(), ErrorKind> {
        let graph = self.objects.graph;
        let part = |name| match graph.attribute(module, name) {
            Some(value) => self.members(value),
            None => Ok(Vec::new()),
        };
        for (key, value) in part("_parameters")? {
            let Some(key) = self.key(key)? else { continue };
            if value != Value::None
                && let Some(found) = prefix_of(&format!("{prefix}{key}"), self.anchors)
            {
                prefixes.push(found.to_owned());
            }
        }
        if depth == MAX_MODULE_DEPTH {
            return Ok(());
        }
        for (key, value) in part("_modules")? {
            let Some(key) = self.key(key)? else { continue };
            if let Some(inner) = self.objects.module(value) {
                let prefix = format!("{prefix}{key}.");
                graph.budget.name(prefix.len())?;
                self.visit_module(inner, &prefix, depth + 1, prefixes)?;
            }
        }
        Ok(())
    }

    /// Returns the short strings and numbers that the file states in addition to the tensors, by path:
    /// `args.model`, `arch`.
    pub(crate) fn statements(&self, value: Value) -> Result<Vec<(String, String)>, ErrorKind> {
        let mut statements = Vec::new();
        self.state(value, "", 0, &mut statements)?;
        Ok(statements)
    }

    fn state(
        &self,
        value: Value,
        path: &str,
        depth: usize,
        statements: &mut Vec<(String, String)>,
    ) -> Result<(), ErrorKind> {
        if self.objects.module(value).is_some() {
            return Ok(());
        }
        let mut members = self.members(value)?;
        if depth == 0 && members.is_empty() {
            // Charged above, like the members of a mapping.
            members = self.objects.graph.numbered(value).unwrap_or_default();
        }
        for (key, member) in members {
            if statements.len() == MAX_STATEMENTS {
                break;
            }
            // Further down, numbers are those of an optimizer's parameters.
            let key = if depth == 0 {
                self.key(key)?
            } else {
                self.text(key)?
            };
            let Some(key) = key else { continue };
            let path = join(path, &key);
            self.objects.graph.budget.name(path.len())?;
            let text = match member {
                Value::Int(number) => Some(number.to_string()),
                Value::Bool(value) => Some(value.to_string()),
                Value::Float(number) => Some(number.to_string()),
                _ => self.text(member)?,
            };
            match text {
                Some(text) => statements.push((path, text)),
                None if depth < MAX_DEPTH => self.state(member, &path, depth + 1, statements)?,
                None => {}
            }
        }
        Ok(())
    }

    fn text(&self, value: Value) -> Result<Option<String>, ErrorKind> {
        let graph = self.objects.graph;
        match graph.raw(value) {
            Some(raw) if raw.len() <= MAX_TEXT => {
                graph.budget.name(raw.len())?;
                Ok(graph.str(value).map(std::borrow::Cow::into_owned))
            }
            _ => Ok(None),
        }
    }

    /// Returns a key as text if it can be part of a name: a short string, or a number.
    fn key(&self, key: Value) -> Result<Option<String>, ErrorKind> {
        match key {
            Value::Int(number) => Ok(Some(number.to_string())),
            _ => self.text(key),
        }
    }

    /// Returns the elements of a list or tuple; none for other values.
    fn elements(&self, value: Value) -> Result<&[Value], ErrorKind> {
        let graph = self.objects.graph;
        let elements = graph.sequence(value).unwrap_or_default();
        graph.budget.step(elements.len());
        graph.budget.check()?;
        Ok(elements)
    }

    fn members(&self, value: Value) -> Result<Vec<(Value, Value)>, ErrorKind> {
        let graph = self.objects.graph;
        graph.budget.visit(graph.entry_count(value))?;
        Ok(graph.members(value).unwrap_or_default())
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

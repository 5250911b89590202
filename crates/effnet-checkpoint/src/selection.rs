//! Finds the state_dict within a saved object.
//!
//! Training programs save the parameters next to optimizer states, settings and averages, under keys of their
//! own. Known keys are tried in a fixed order. Whatever is not selected is listed, so that nothing is dropped
//! silently, and a file without parameters is rejected with an error that lists its keys.

use std::collections::HashSet;
use std::path::Path;

use crate::Tensor;
use crate::budget::Budget;
use crate::calls::unusual;
use crate::error::ErrorKind;
use crate::geometry::Geometry;
use crate::object::Objects;
use crate::pickle::{Object, Value};
use crate::quote::{quote, quote_list};
use crate::search::{Search, Site};

/// Keys under which training programs store parameters, in the order in which they are tried: averages first,
/// because those are the weights that were evaluated.
const WRAPPERS: [&str; 7] = [
    "state_dict_ema",
    "model_ema",
    "ema",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
];

/// Maximum nesting of modules; real networks have 10 levels.
const MAX_MODULE_DEPTH: usize = 100;
/// Longer keys are replaced by their length: no parameter has such a name.
const MAX_KEY_BYTES: usize = 1024;
/// Maximum number of keys shown in an error.
const SHOWN: usize = 12;

/// The selected tensors.
#[derive(Debug, Default)]
pub(crate) struct Selection {
    pub(crate) tensors: Vec<(String, Tensor)>,
    pub(crate) wrapper: Option<String>,
    pub(crate) whole_module: bool,
    /// Prefix of the network's names; `None` if no network was looked for or found.
    pub(crate) prefix: Option<String>,
    pub(crate) left_out: Vec<String>,
    pub(crate) calls: Vec<String>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) statements: Vec<(String, String)>,
}

/// A layer of a whole module, and what the pickle says about it apart from its parameters.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Layer {
    /// Name of the layer, with its prefix: `module.conv_stem`.
    pub name: String,
    /// Name of its class, without its module: `Conv2dSame`.
    pub class: String,
    /// Epsilon, which a normalisation layer adds to the variance.
    pub epsilon: Option<f32>,
}

/// Finds the state_dict of a saved object and reads its tensors.
pub(crate) fn select(
    objects: &Objects<'_>,
    path: &Path,
    requested: Option<&str>,
    anchors: &[&str],
) -> Result<Selection, ErrorKind> {
    let budget = objects.graph.budget;
    let swap = objects.storages.big_endian();
    let geometry = Geometry { path, swap, budget };
    let selector = Selector {
        objects,
        geometry,
        budget,
        search: Search { objects, anchors },
    };
    selector.select(requested)
}

struct Selector<'a> {
    objects: &'a Objects<'a>,
    search: Search<'a>,
    geometry: Geometry<'a>,
    budget: &'a Budget,
}

type Entries = Vec<(Value, Value)>;

impl Selector<'_> {
    fn select(&self, requested: Option<&str>) -> Result<Selection, ErrorKind> {
        let root = self.objects.graph.root;
        let mut selection = Selection::default();
        let entries = match self.objects.module(root) {
            Some(_) => Vec::new(),
            None => match self.entries(root)? {
                entries if entries.is_empty() => self.objects.graph.numbered(root).unwrap_or_default(),
                entries => entries,
            },
        };
        let site = self.site(&entries, requested)?;
        let (chosen, opened) = match &site {
            Some(site) if site.path.is_empty() => (root, None),
            Some(site) => (site.value, Some(site.path.clone())),
            None => match self.wrapper(&entries, requested)? {
                Some((name, value)) => (value, Some(name)),
                None => (root, None),
            },
        };
        if let Some(opened) = &opened {
            let top = opened.split('.').next().unwrap_or_default();
            for &(key, _) in entries
                .iter()
                .filter(|&&(key, _)| !self.is_key(key, opened) && !self.is_key(key, top))
            {
                selection.left_out.push(self.listed(self.key(key))?);
            }
        }
        selection.wrapper = opened;
        selection.prefix = site.map(|site| site.prefix);
        if let Some(module) = self.objects.module(chosen) {
            selection.whole_module = true;
            self.walk(module, "", 0, &mut selection)?;
        } else {
            let entries = match self.entries(chosen)? {
                entries if entries.is_empty() => self.objects.graph.members(chosen).unwrap_or_default(),
                entries => entries,
            };
            self.collect(&entries, "", &mut selection)?;
        }
        if selection.tensors.is_empty() {
            return Err(self.no_tensors(&entries, selection.wrapper.as_deref()));
        }
        selection.calls = unusual(self.objects.graph);
        selection.statements = self.search.statements(root)?;
        Ok(selection)
    }

    /// Finds the one network to open: within the requested key, or else within the first of the default keys
    /// that holds any, or else anywhere in the file. Returns `None` if there is none.
    ///
    /// # Errors
    /// [`ErrorKind::SeveralNetworks`] if there are several.
    fn site(&self, entries: &Entries, requested: Option<&str>) -> Result<Option<Site>, ErrorKind> {
        let root = self.objects.graph.root;
        if self.search.anchors.is_empty() {
            return Ok(None);
        }
        let find = |name: &str| entries.iter().rev().find(|&&(key, _)| self.is_key(key, name));
        if let Some(wanted) = requested {
            if let Some(&(_, value)) = find(wanted) {
                return only(self.search.sites(value, wanted)?);
            }
            let mut sites = self.search.sites(root, "")?;
            let within = format!("{wanted}.");
            let exact = sites.iter().position(|site| site.key() == wanted);
            if let Some(exact) = exact {
                return Ok(Some(sites.swap_remove(exact)));
            }
            sites.retain(|site| site.key().starts_with(&within));
            return only(sites);
        }
        for name in WRAPPERS {
            if let Some(&(_, value)) = find(name) {
                let sites = self.search.sites(value, name)?;
                if !sites.is_empty() {
                    return only(sites);
                }
            }
        }
        only(self.search.sites(root, "")?)
    }

    /// Returns the requested key, whatever it contains, or the first of the default keys that contains
    /// tensors, or the only element of a list that does.
    ///
    /// # Errors
    /// [`ErrorKind::NoSuchWrapper`], and [`ErrorKind::SeveralNetworks`] if several elements of a list do.
    fn wrapper(
        &self,
        entries: &Entries,
        requested: Option<&str>,
    ) -> Result<Option<(String, Value)>, ErrorKind> {
        let find = |name: &str| entries.iter().rev().find(|&&(key, _)| self.is_key(key, name));
        if let Some(wanted) = requested {
            let found = find(wanted).ok_or_else(|| ErrorKind::NoSuchWrapper {
                wanted: wanted.to_owned(),
                found: entries
                    .iter()
                    .take(4 * SHOWN)
                    .map(|&(key, _)| self.key(key))
                    .collect(),
            })?;
            return Ok(Some((wanted.to_owned(), found.1)));
        }
        let graph = self.objects.graph;
        if graph.sequence(graph.root).is_some() {
            let holders = entries.iter().filter(|&&(_, value)| self.holds_tensors(value));
            let mut holders: Vec<_> = holders.map(|&(key, value)| (self.key(key), value)).collect();
            if holders.len() > 1 {
                let keys = holders.into_iter().map(|(key, _)| key).collect();
                return Err(ErrorKind::SeveralNetworks { keys });
            }
            return Ok(holders.pop());
        }
        Ok(WRAPPERS.iter().find_map(|&name| {
            let &(_, value) = find(name)?;
            self.holds_tensors(value).then(|| (name.to_owned(), value))
        }))
    }

    fn is_key(&self, key: Value, name: &str) -> bool {
        match key {
            Value::Int(number) => number.to_string() == name,
            _ => self.objects.graph.raw(key) == Some(name.as_bytes()),
        }
    }

    /// Returns the entries of a mapping, charged to the budget before they are copied.
    fn entries(&self, value: Value) -> Result<Entries, ErrorKind> {
        self.budget.visit(self.objects.graph.entry_count(value))?;
        Ok(self.objects.graph.entries(value).unwrap_or_default())
    }

    fn key(&self, key: Value) -> String {
        let graph = self.objects.graph;
        match graph.raw(key) {
            Some(raw) if raw.len() > MAX_KEY_BYTES => format!("(a key of {} bytes)", raw.len()),
            _ => match (graph.str(key), key.int()) {
                (Some(text), _) => text.into_owned(),
                (None, Some(number)) => number.to_string(),
                (None, None) => "(a key that is not a string)".to_owned(),
            },
        }
    }

    /// Charges the budget for a name that is kept.
    fn listed(&self, name: String) -> Result<String, ErrorKind> {
        self.budget.name(name.len())?;
        Ok(name)
    }

    fn holds_tensors(&self, value: Value) -> bool {
        self.objects.module(value).is_some()
            || self
                .entries(value)
                .is_ok_and(|entries| entries.iter().any(|&(_, value)| self.is_tensor(value)))
    }

    /// Returns whether a value is a tensor. This includes damaged tensors, whose errors are reported when
    /// they are read.
    fn is_tensor(&self, value: Value) -> bool {
        !matches!(self.objects.tensor(value), Ok(None))
    }

    /// Collects the tensors of one level, and lists the names of all other entries as left out.
    fn collect(&self, entries: &Entries, prefix: &str, selection: &mut Selection) -> Result<(), ErrorKind> {
        for &(key, value) in entries {
            let name = self.listed(format!("{prefix}{}", self.key(key)))?;
            let found = self.objects.tensor(value);
            match found.map_err(|what| ErrorKind::BadTensor {
                name: name.clone(),
                what,
            })? {
                Some(found) => {
                    let tensor = self.geometry.tensor(&name, found)?;
                    selection.tensors.push((name, tensor));
                }
                // A module registers `bias=None` for layers without a bias.
                None if value == Value::None && selection.whole_module => {}
                None => selection.left_out.push(match &selection.wrapper {
                    Some(wrapper) => format!("{wrapper}.{name}"),
                    None => name,
                }),
            }
        }
        Ok(())
    }

    /// Collects parameters, then buffers, then submodules: the order of `nn.Module.state_dict`.
    fn walk(
        &self,
        module: &Object,
        prefix: &str,
        depth: usize,
        selection: &mut Selection,
    ) -> Result<(), ErrorKind> {
        let graph = self.objects.graph;
        let part = |name| {
            graph
                .attribute(module, name)
                .map_or(Ok(Vec::new()), |value| self.entries(value))
        };
        let parameters = part("_parameters")?;
        if !parameters.is_empty() {
            self.note_layer(module, prefix, selection)?;
        }
        self.collect(&parameters, prefix, selection)?;
        let transient = match graph.attribute(module, "_non_persistent_buffers_set") {
            Some(names) => {
                self.budget.visit(graph.entry_count(names))?;
                graph.strings(names)
            }
            None => HashSet::new(),
        };
        let mut buffers = part("_buffers")?;
        buffers.retain(|&(key, _)| !graph.raw(key).is_some_and(|key| transient.contains(key)));
        self.collect(&buffers, prefix, selection)?;
        for (key, value) in part("_modules")? {
            let name = self.listed(format!("{prefix}{}.", self.key(key)))?;
            let Some(inner) = self.objects.module(value) else {
                continue;
            };
            if depth == MAX_MODULE_DEPTH {
                let what = format!("it is nested in more than {MAX_MODULE_DEPTH} modules");
                return Err(ErrorKind::BadTensor { name, what });
            }
            self.walk(inner, &name, depth + 1, selection)?;
        }
        Ok(())
    }

    /// Records the class and the epsilon of a layer with parameters.
    fn note_layer(&self, module: &Object, prefix: &str, selection: &mut Selection) -> Result<(), ErrorKind> {
        let graph = self.objects.graph;
        let epsilon = match graph.attribute(module, "eps") {
            Some(Value::Float(epsilon)) => Some(epsilon),
            _ => None,
        };
        let Some((_, class)) = self.class(module) else {
            return Ok(());
        };
        let name = self.listed(prefix.trim_end_matches('.').to_owned())?;
        let class = self.listed(class)?;
        selection.layers.push(Layer { name, class, epsilon });
        Ok(())
    }

    /// Returns the module and the name of the class of an instance, which `copyreg` passes as an argument.
    fn class(&self, object: &Object) -> Option<(String, String)> {
        let graph = self.objects.graph;
        let owned = |(module, name): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
            (module.into_owned(), name.into_owned())
        };
        let (module, name) = graph.global(object.class).map(owned)?;
        if name == "_reconstructor" || name == "__newobj__" {
            let first = *graph.sequence(object.args)?.first()?;
            return graph.global(first).map(owned);
        }
        Some((module, name))
    }

    /// Returns the error for an object without named tensors.
    fn no_tensors(&self, entries: &Entries, wrapper: Option<&str>) -> ErrorKind {
        let graph = self.objects.graph;
        let keys = |entries: &mut dyn Iterator<Item = &(Value, Value)>| -> Vec<String> {
            entries.take(SHOWN).map(|&(key, _)| self.key(key)).collect()
        };
        let elsewhere = keys(&mut entries.iter().filter(|&&(_, value)| self.holds_tensors(value)));
        let keys = keys(&mut entries.iter());
        let found = if let Some(wrapper) = wrapper {
            format!(
                "`{}` contains no named tensors; select another key",
                quote(wrapper)
            )
        } else if self.is_tensor(graph.root) {
            "the file is a single unnamed tensor; save a state_dict instead".to_owned()
        } else if graph.sequence(graph.root).is_some() {
            "no element of the saved list is a state_dict; save a state_dict".to_owned()
        } else if !elsewhere.is_empty() {
            format!(
                "the default keys contain none, but {} does; select it with --key",
                quote_list(&elsewhere)
            )
        } else if keys.is_empty() {
            "the saved object is not a dict or module, or is empty; save a state_dict".to_owned()
        } else {
            format!(
                "the saved dict has {}, but no tensors; save a state_dict",
                quote_list(&keys)
            )
        };
        let calls = unusual(graph);
        ErrorKind::NoTensors { found, calls }
    }
}

/// Returns the only network, if there is one.
pub(crate) fn only(mut sites: Vec<Site>) -> Result<Option<Site>, ErrorKind> {
    if sites.len() > 1 {
        return Err(ErrorKind::SeveralNetworks {
            keys: sites.iter().map(Site::key).collect(),
        });
    }
    Ok(sites.pop())
}

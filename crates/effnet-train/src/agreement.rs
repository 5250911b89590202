//! Checks that the processes of a group were started with the same data and settings.
//!
//! Otherwise, ranks that differ would train a wrong network without an error, or hang in a collective operation.

use std::collections::{BTreeMap, BTreeSet};

use torch_c10d::ProcessGroup;

use crate::Error;

/// Checks that `facts`, a map from names to values, is identical on all ranks.
///
/// # Errors
/// [`Error::Disagreement`] on every rank, with all differences and their ranks; [`Error::Group`].
pub fn agree(group: &ProcessGroup, facts: &BTreeMap<String, String>) -> Result<(), Error> {
    let own = serde_json::json!(facts).to_string();
    let mut all = Vec::with_capacity(group.world_size());
    for (rank, text) in group.all_gather_bytes(own.as_bytes())?.iter().enumerate() {
        let other: BTreeMap<String, String> =
            serde_json::from_slice(text).map_err(|error| Error::Disagreement {
                rank: group.rank(),
                differences: vec![format!(
                    "rank {rank} runs a different version of this program ({error})"
                )],
            })?;
        all.push(other);
    }
    let differences = differences(&all);
    if differences.is_empty() {
        return Ok(());
    }
    let rank = group.rank();
    Err(Error::Disagreement { rank, differences })
}

/// Returns one line for each fact that differs, with the first rank whose value differs from rank 0's.
fn differences(all: &[BTreeMap<String, String>]) -> Vec<String> {
    let names: BTreeSet<&String> = all.iter().flat_map(BTreeMap::keys).collect();
    let text = |rank: usize, name: &String| all[rank].get(name).map_or("nothing", String::as_str);
    let difference = |name: &&String| {
        let other = (1..all.len()).find(|&rank| all[rank].get(*name) != all[0].get(*name))?;
        let (own, first) = (text(other, name), text(0, name));
        Some(format!("{name}: {own} on rank {other}, {first} on rank 0"))
    };
    names.iter().filter_map(difference).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_with_the_rank() {
        let facts = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            let owned = pairs
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()));
            owned.collect()
        };
        let first = facts(&[("batch size", "8"), ("model", "b0")]);
        let third = facts(&[("batch size", "16"), ("model", "b0"), ("mixup", "0.2")]);
        assert_eq!(
            differences(&[first.clone(), first, third]),
            [
                "batch size: 16 on rank 2, 8 on rank 0",
                "mixup: 0.2 on rank 2, nothing on rank 0"
            ]
        );
    }
}

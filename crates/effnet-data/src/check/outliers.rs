//! Finds images unlike all others, such as a scanned page among photos of flowers.

use effnet_search::Neighbor;

/// An image unlike the others.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Outlier {
    /// The index of the image.
    pub image: usize,
    /// The mean cosine between its features and those of its nearest neighbours.
    pub similarity: f64,
}

/// How many interquartile ranges below the lower quartile an image is an outlier. Of normally distributed
/// similarities, one in a hundred thousand is.
const FENCE: f64 = 2.5;

/// Finds the images whose similarity to their nearest neighbours is far below the usual. Copies of an image are not
/// among its neighbours: an outlier that is there twice is still one.
pub(super) fn find(nearest: &[Vec<Neighbor>], groups: &[usize]) -> Vec<Outlier> {
    let mut all: Vec<Outlier> = nearest
        .iter()
        .enumerate()
        .filter_map(|(image, neighbors)| {
            let others = neighbors
                .iter()
                .filter(|neighbor| groups[neighbor.row] != groups[image])
                .map(|neighbor| f64::from(neighbor.similarity));
            let count = others.clone().count();
            (count > 0).then(|| Outlier {
                image,
                similarity: others.sum::<f64>() / count as f64,
            })
        })
        .collect();
    if all.len() < 8 {
        return Vec::new();
    }
    all.sort_by(|a, b| a.similarity.total_cmp(&b.similarity));
    let (lower, upper) = (all[all.len() / 4].similarity, all[all.len() * 3 / 4].similarity);
    let limit = lower - FENCE * (upper - lower);
    all.retain(|outlier| outlier.similarity < limit);
    all
}

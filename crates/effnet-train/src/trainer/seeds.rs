//! Seeds for dropout and drop connect.

/// Returns the seed for one part of one step. It is a hash, because with `seed + step` two runs with neighbouring
/// seeds would share most of their random numbers.
pub(super) fn draw_seed(seed: u64, step: u64, part: u64) -> i64 {
    [seed, step, part]
        .into_iter()
        .fold(0, |state, number| mix(state ^ number))
        .cast_signed()
}

/// Computes the finaliser of SplitMix64 (Steele, Lea and Flood 2014).
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

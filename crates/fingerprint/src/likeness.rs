//! How alike two lists are: weighted Jaccard over their values, and the order of those they share. For comparisons and
//! for evidence.

/// How alike two lists are, from 0 (nothing shared) to 1 (the same values in the same order).
///
/// The weighted Jaccard index, lowered by at most `order_share` for shared values in another order.
/// Symmetric to the last bit; exactly 1 for equal lists. `ordered` says whether both lists' order is known.
pub(crate) fn likeness<T: Copy + Ord>(
    a: &[T],
    b: &[T],
    ordered: bool,
    order_share: f64,
    weight: impl Fn(T) -> f64,
) -> f64 {
    if a == b {
        return 1.0;
    }
    let jaccard = jaccard(&set(a), &set(b), weight);
    if !ordered {
        return jaccard;
    }
    jaccard * (1.0 - order_share + order_share * order(&distinct(a), &distinct(b)))
}

/// The values of a list in their order, each where it stands first.
pub(crate) fn distinct<T: Copy + PartialEq>(values: &[T]) -> Vec<T> {
    let mut distinct = Vec::with_capacity(values.len());
    for value in values {
        if !distinct.contains(value) {
            distinct.push(*value);
        }
    }
    distinct
}

/// The values of a list, ascending, each once.
pub(crate) fn set<T: Copy + Ord>(values: &[T]) -> Vec<T> {
    let mut set = values.to_vec();
    set.sort_unstable();
    set.dedup();
    set
}

fn jaccard<T: Copy + Ord>(a: &[T], b: &[T], weight: impl Fn(T) -> f64) -> f64 {
    let (mut shared, mut only_a) = (0.0, 0.0);
    for value in a {
        let sum = if b.binary_search(value).is_ok() {
            &mut shared
        } else {
            &mut only_a
        };
        *sum += weight(*value);
    }
    let lacking = b.iter().filter(|value| a.binary_search(value).is_err());
    let only_b: f64 = lacking.map(|value| weight(*value)).sum();
    // Added up so that a and b may be swapped without another rounding.
    let all = shared + (only_a + only_b);
    if all > 0.0 { shared / all } else { 1.0 }
}

/// The share of pairs of common values that stand in the same order in both (Kendall); 1 where
/// fewer than two are common.
fn order<T: Copy + Ord>(a: &[T], b: &[T]) -> f64 {
    let places: Vec<usize> = a
        .iter()
        .filter_map(|value| b.iter().position(|other| other == value))
        .collect();
    let (mut same, mut pairs) = (0_u32, 0_u32);
    for (index, first) in places.iter().enumerate() {
        for second in &places[index + 1..] {
            pairs += 1;
            same += u32::from(first <= second);
        }
    }
    if pairs == 0 {
        1.0
    } else {
        f64::from(same) / f64::from(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even(a: &[u16], b: &[u16]) -> f64 {
        likeness(a, b, true, 0.5, |_| 1.0)
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9
    }

    #[test]
    fn between_nothing_and_all() {
        assert!(close(even(&[], &[]), 1.0));
        assert!(close(even(&[1, 2, 3], &[1, 2, 3]), 1.0));
        assert!(close(even(&[1, 2], &[3, 4]), 0.0));
        assert!(close(even(&[1, 2], &[]), 0.0));
        assert!(close(even(&[1, 2, 3], &[1, 2, 4]), 0.5));
    }

    #[test]
    fn order_takes_its_share() {
        assert!(close(even(&[1, 2, 3], &[3, 2, 1]), 0.5));
        assert!(close(even(&[1, 2, 3], &[1, 3, 2]), 0.5 + 0.5 * 2.0 / 3.0));
        assert!(close(likeness(&[1, 2, 3], &[3, 2, 1], false, 0.5, |_| 1.0), 1.0));
        assert!(close(even(&[1, 2, 1], &[1, 2]), 1.0));
    }

    #[test]
    fn rare_values_count_for_more() {
        let weight = |value: u16| if value == 9 { 8.0 } else { 1.0 };
        assert!(close(likeness(&[1, 9], &[2, 9], true, 0.0, weight), 0.8));
        assert!(close(likeness(&[1, 9], &[1, 8], true, 0.0, weight), 0.1));
    }
}

//! Distribution of a target's weight over its hosts. The weight of a target is the total of its
//! hosts' weights, however many hosts the target has.

/// Maximum factor by which target weights are multiplied, so that each host gets an integer weight.
/// If exact host weights need a larger factor, they are rounded.
const PARTS_MAX: u64 = 5_040;

/// Returns the weight of each host in each group. `groups`: total weight and number of hosts of
/// each group. A positive weight never becomes 0.
pub(crate) fn share_out(groups: &[(u32, usize)]) -> Vec<u32> {
    let counts = groups.iter().map(|(_, count)| *count as u64);
    let counts = counts.filter(|count| *count > 0);
    let parts = counts.fold(1, |parts, count| {
        let common = parts / greatest(parts, count) * count;
        if common <= PARTS_MAX {
            common
        } else {
            PARTS_MAX
        }
    });
    let each = groups.iter().map(|(weight, count)| {
        let all = u64::from(*weight) * parts;
        let each = all.checked_div(*count as u64).unwrap_or(0);
        if *weight > 0 && *count > 0 {
            each.max(1)
        } else {
            0
        }
    });
    let each: Vec<u64> = each.collect();
    let divisor = each.iter().copied().fold(0, greatest).max(1);
    let most = each.iter().max().copied().unwrap_or(0) / divisor;
    // Keep at most 28 bits: the balancer multiplies weights when it compares them.
    let narrow = most.checked_ilog2().unwrap_or(0).saturating_sub(27);
    let fit = |each: u64| match each {
        0 => 0,
        _ => u32::try_from((each / divisor) >> narrow)
            .unwrap_or(u32::MAX)
            .max(1),
    };
    each.into_iter().map(fit).collect()
}

/// Greatest common divisor.
fn greatest(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_is_the_share_of_all_hosts_of_a_target() {
        for (groups, expected) in [
            (&[(1, 1), (1, 1)][..], &[1, 1][..]),
            (&[(5, 1), (3, 1)], &[5, 3]),
            (&[(1, 3), (1, 1)], &[1, 3]),
            (&[(9, 9), (1, 1)], &[1, 1]),
            (&[(9, 3), (1, 2)], &[6, 1]),
            (&[(1, 7)], &[1]),
            (&[(0, 3), (2, 1)], &[0, 1]),
            (&[(1, 0), (2, 2)], &[0, 1]),
            (&[], &[]),
        ] {
            assert_eq!(share_out(groups), expected, "{groups:?}");
        }
    }

    #[test]
    fn shares_are_close_for_odd_and_large_weights() {
        let groups = [(1_000_000, 17), (1_000_000, 19), (3, 23), (1, 1_000)];
        let each = share_out(&groups);
        let all: Vec<f64> = each
            .iter()
            .zip(groups)
            .map(|(each, (_, count))| f64::from(*each) * count as f64)
            .collect();
        assert!((all[0] / all[1] - 1.0).abs() < 0.01, "{all:?}");
        assert!(
            each.iter().all(|each| (1..1 << 29).contains(each)),
            "{each:?}"
        );
    }
}

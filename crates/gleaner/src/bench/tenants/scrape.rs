//! What the server's `/metrics` say: counters, gauges and quantiles.

use std::collections::BTreeMap;

/// One reading of the metrics.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// Value by name and labels, as written: `name{label="value"}`.
    samples: BTreeMap<String, f64>,
}

/// A histogram: how many were at most so long, in seconds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// By bound, growing; the counts include those of smaller bounds.
    counts: Vec<(f64, f64)>,
}

impl Reading {
    /// Reads Prometheus's text format; lines that are no samples are passed over.
    pub fn parse(text: &str) -> Reading {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Reading {
            samples: samples.collect(),
        }
    }

    /// The sum over all samples of this name, whatever their labels.
    pub fn sum(&self, name: &str) -> f64 {
        self.sum_where(name, &[])
    }

    /// The sum over the samples of this name that have all these labels.
    pub fn sum_where(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let samples = self.samples.iter().filter(|(sample, _)| {
            let (own, rest) = split(sample);
            own == name && labels.iter().all(|(label, value)| has(rest, label, value))
        });
        samples.map(|(_, value)| value).sum()
    }

    /// A histogram, over all its labels together.
    pub fn histogram(&self, name: &str) -> Buckets {
        let bucket = format!("{name}_bucket");
        let mut counts: Vec<(f64, f64)> = Vec::new();
        for (sample, count) in &self.samples {
            let (own, labels) = split(sample);
            let bound = (own == bucket).then(|| bound_of(labels)).flatten();
            let Some(bound) = bound else { continue };
            match counts.iter_mut().find(|(known, _)| *known == bound) {
                Some((_, sum)) => *sum += count,
                None => counts.push((bound, *count)),
            }
        }
        counts.sort_by(|a, b| a.0.total_cmp(&b.0));
        Buckets { counts }
    }
}

impl Buckets {
    pub fn count(&self) -> f64 {
        self.counts.last().map_or(0.0, |(_, count)| *count)
    }

    /// The time that this share of all did not exceed, in seconds: between the
    /// bounds of its bucket in proportion. Beyond the last bound, that bound.
    /// 0 without any.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = self.count() * share;
        let (mut lower, mut before) = (0.0, 0.0);
        if self.count() == 0.0 {
            return 0.0;
        }
        for (bound, count) in &self.counts {
            if *count >= wanted && *count > before {
                if bound.is_infinite() {
                    return lower;
                }
                return lower + (bound - lower) * (wanted - before) / (count - before);
            }
            (lower, before) = (*bound, *count);
        }
        lower
    }
}

fn split(sample: &str) -> (&str, &str) {
    match sample.split_once('{') {
        Some((name, labels)) => (name, labels.trim_end_matches('}')),
        None => (sample, ""),
    }
}

fn has(labels: &str, label: &str, value: &str) -> bool {
    labels
        .split(',')
        .filter_map(|pair| pair.split_once('='))
        .any(|(name, quoted)| name == label && quoted.trim_matches('"') == value)
}

fn bound_of(labels: &str) -> Option<f64> {
    let (_, rest) = labels.split_once("le=\"")?;
    let (bound, _) = rest.split_once('"')?;
    match bound {
        "+Inf" => Some(f64::INFINITY),
        _ => bound.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP queue_size Tasks.\n\
        queue_size{queue_name=\"crawl\",state=\"queued\"} 7\n\
        queue_size{queue_name=\"embed\",state=\"queued\"} 2\n\
        queue_size{queue_name=\"crawl\",state=\"running\"} 4\n\
        store_commits_total 12\n\
        page_seconds_bucket{le=\"0.1\"} 50\n\
        page_seconds_bucket{le=\"0.5\"} 90\n\
        page_seconds_bucket{le=\"+Inf\"} 100\n\
        page_seconds_count 100\n";

    #[test]
    fn samples_are_summed_over_the_labels_that_are_not_named() {
        let reading = Reading::parse(TEXT);
        assert_eq!(reading.sum("store_commits_total"), 12.0);
        assert_eq!(reading.sum_where("queue_size", &[("state", "queued")]), 9.0);
        let crawls = [("queue_name", "crawl"), ("state", "queued")];
        assert_eq!(reading.sum_where("queue_size", &crawls), 7.0);
        assert_eq!(reading.sum("queue"), 0.0);
    }

    #[test]
    fn quantiles_lie_between_the_bounds_of_their_bucket() {
        let buckets = Reading::parse(TEXT).histogram("page_seconds");
        let check = |share: f64, expected: f64| {
            let found = buckets.quantile(share);
            assert!((found - expected).abs() < 1e-9, "{share}: {found}");
        };
        check(0.25, 0.05);
        check(0.5, 0.1);
        check(0.7, 0.3);
        check(0.9, 0.5);
        check(0.95, 0.5);
        assert_eq!(buckets.count(), 100.0);
        assert_eq!(Buckets::default().quantile(0.5), 0.0);
    }
}

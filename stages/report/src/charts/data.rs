//! Charts of the data: the flow of series from files to sets, and the ages in each set.

use std::collections::HashMap;

use ctpipe_tables::{Part, Status};

use crate::formatting;
use crate::inputs::Inputs;
use crate::texts::Texts;
use ctpipe_plot::{Aside, Axis, Bars, Chart, Flow, Plot, Series};

/// Number of reasons beside a box; the table has the rest.
const REASONS: usize = 5;
/// Years per bar.
const YEARS: f64 = 10.0;
/// The last bar counts everyone of this age or older.
const OLDEST: f64 = 90.0;

/// Series found, accepted, with a volume, and in each set, with the reasons for rejection beside;
/// `None` without series.
pub(crate) fn flow(texts: &Texts, inputs: &Inputs) -> Option<Chart> {
    if inputs.series.is_empty() {
        return None;
    }
    let is = |status: &str| status == Status::Accepted.as_str();
    // A label without files does not count as a series.
    let found = inputs.ingest.series as usize;
    let accepted = inputs.series.iter().filter(|row| is(&row.status)).count();
    let volumes = inputs.volumes.iter().filter(|row| is(&row.status)).count();
    let reasons = inputs.ingest.reasons.clone().into_iter();
    let mut reasons = reasons.filter(|(code, _)| code != "no_files").collect::<Vec<_>>();
    let mut of_volumes: std::collections::BTreeMap<String, u64> = std::collections::BTreeMap::new();
    for code in inputs.volumes.iter().flat_map(|row| &row.reasons) {
        *of_volumes.entry(code.clone()).or_default() += 1;
    }
    let aside = |left: usize, mut reasons: Vec<(String, u64)>| {
        reasons.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let title = texts.fill("chart.flow.rejected", &[("n", &texts.count(left as u64))]);
        reasons.into_iter().take(REASONS).fold(Aside::new(title, ""), |aside, (code, n)| {
            aside.reason(formatting::meaning(texts, &code).unwrap_or(code), texts.count(n))
        })
    };
    let count = |n: usize| texts.count(n as u64);
    let mut flow =
        Flow::new("flow", texts.say("chart.flow")).station(texts.say("chart.flow.found"), count(found));
    if accepted < found {
        flow = flow.aside(aside(found - accepted, std::mem::take(&mut reasons)));
    }
    flow = flow.station(texts.say("chart.flow.accepted"), count(accepted));
    if volumes < accepted {
        flow = flow.aside(aside(accepted - volumes, of_volumes.into_iter().collect()));
    }
    flow = flow.station(texts.say("chart.flow.volumes"), count(volumes));
    let mut parts = Vec::new();
    for part in Part::ALL {
        let n = inputs.split_rows.iter().filter(|row| row.split == part.as_str()).count();
        let name = formatting::part(texts, part.as_str());
        parts.push(format!("{name} {}", count(n)));
        flow = flow.part(name, count(n));
    }
    let with = [count(found), count(accepted), count(volumes), parts.join(", ")];
    let [found, accepted, volumes, parts] = with.each_ref().map(String::as_str);
    let with = [("found", found), ("accepted", accepted), ("volumes", volumes), ("parts", parts)];
    Some(flow.alternative(texts.fill("chart.flow.said", &with)).draw())
}

/// Series of each set by age; `None` if no age is known.
pub(crate) fn ages(texts: &Texts, inputs: &Inputs) -> Option<Chart> {
    let ages: HashMap<&str, f64> = inputs
        .series
        .iter()
        .filter_map(|row| {
            let age = row.age.filter(|age| (0.0..150.0).contains(age))?;
            Some((row.series_uid.as_str(), age.min(OLDEST)))
        })
        .collect();
    let decade = |age: f64| (age / YEARS) as usize;
    let of_split = || {
        let known = |row: &ctpipe_tables::SplitRow| {
            Some((row.split.clone(), decade(*ages.get(row.series_uid.as_str())?)))
        };
        inputs.split_rows.iter().filter_map(known)
    };
    let (first, last) =
        (of_split().map(|(_, decade)| decade).min()?, of_split().map(|(_, decade)| decade).max()?);
    let name = |decade: usize| match decade * 10 {
        years if years as f64 >= OLDEST => format!("≥{years}"),
        years => format!("{years}-{}", years + 9),
    };
    let names: Vec<String> = (first..=last).map(name).collect();
    let mut told = Vec::new();
    let series = Part::ALL.map(|part| {
        let count = |decade| of_split().filter(|(split, of)| split == part.as_str() && *of == decade).count();
        let counts: Vec<usize> = (first..=last).map(count).collect();
        let part = formatting::part(texts, part.as_str());
        let listed = names.iter().zip(&counts).filter(|(_, count)| **count > 0);
        let listed: Vec<String> = listed.map(|(name, count)| format!("{name}: {count}")).collect();
        told.push(format!("{part} {}", listed.join(", ")));
        Series::new(part, counts.into_iter().map(|count| count as f64))
    });
    let x = Axis::of_categories(texts.say("chart.ages.x"), names);
    let y = Axis::new(texts.say("chart.ages.y")).include(0.0).integer();
    let plot = Plot::new("ages", texts.say("chart.ages"), x, y).with(Bars::grouped(series));
    Some(plot.alternative(texts.fill("chart.ages.said", &[("ages", &told.join("; "))])).draw())
}

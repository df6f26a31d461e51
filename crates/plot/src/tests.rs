//! What every chart guarantees: the same bytes, only numbers, escaped words, and the page's
//! colours.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const HARSH: &str = "<b>\"a\" & 'b'</b>\u{1}";

/// A plot with every layer over the same values.
fn plot(values: &[f64]) -> Chart {
    let points: Vec<(f64, f64)> = values.iter().enumerate().map(|(i, v)| (i as f64, *v)).collect();
    let dots = points.iter().map(|p| Point::new(p.0, p.1).interval(p.1 - 1.0, p.1 + 1.0));
    Plot::new("all", HARSH, Axis::new(HARSH), Axis::new(HARSH))
        .alternative(HARSH)
        .with(Band::new(points.iter().map(|p| (p.0, p.1 * 0.5, p.1 * 2.0))).legend(HARSH))
        .with(Line::new(points.clone()).legend("second"))
        .with(Line::new(points.iter().map(|p| (p.1, p.0))).stepped().legend("third"))
        .with(Points::new(dots).shape(Shape::Square).legend("fourth"))
        .with(Reference::vertical(values.first().copied().unwrap_or(0.5), HARSH))
        .with(Reference::horizontal(values.last().copied().unwrap_or(0.5), HARSH))
        .draw()
}

/// Bars, forest and flow over the same values.
fn others(values: &[f64]) -> Vec<Chart> {
    let names = (0..values.len()).map(|i| format!("{HARSH} {i}"));
    let axes = || (Axis::of_categories(HARSH, names.clone()), Axis::new(HARSH).integer());
    let series = || [Series::new(HARSH, values.to_vec()), Series::new("b", values.to_vec())];
    let bars = |name: &str, bars| Plot::new(name, HARSH, axes().0, axes().1).with(bars).draw();
    let mut forest = Forest::new("forest", HARSH, Axis::new(HARSH)).columns(HARSH, HARSH);
    let mut flow = Flow::new("flow", HARSH).aside(Aside::new("lost", "1"));
    for value in values {
        let row = Row::new(HARSH, Some(*value), HARSH).interval(value - 0.5, *value + 0.5);
        forest = forest.whole(*value, HARSH).with(Row::heading(HARSH)).with(row.flagged(*value > 0.0));
        flow = flow
            .station(HARSH, figure(*value))
            .aside(Aside::new(HARSH, "3").reason(HARSH, "2"))
            .part(HARSH, "1");
    }
    vec![
        bars("bars", Bars::grouped(series())),
        bars("stack", Bars::stacked(series())),
        forest.draw(),
        flow.draw(),
        dag(values),
    ]
}

/// A box for each value, each read by the next one and the one after that.
fn dag(values: &[f64]) -> Chart {
    let boxes =
        values.iter().map(|value| Node::new(HARSH).line(figure(*value)).flagged(*value > 0.0).hover(HARSH));
    let dag = boxes.fold(Dag::new("dag", HARSH).alternative(HARSH), Dag::node);
    (0..values.len()).fold(dag, |dag, i| dag.edge(i, i + 1).edge(i, i + 2).edge(i + 1, i)).draw()
}

#[test]
fn a_graph_has_its_boxes_in_layers_and_lets_no_arrow_cross_one() {
    // a -> b -> d, a -> c -> d, a -> d: the last edge passes beside b and c.
    let dag =
        ["a", "b", "c", "d"].into_iter().fold(Dag::new("dag", "t"), |dag, name| dag.node(Node::new(name)));
    let edges = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)];
    let chart = edges.into_iter().fold(dag, |dag, (from, to)| dag.edge(from, to)).draw();
    let boxes: Vec<(f64, f64, f64, f64)> = chart
        .scene
        .marks
        .iter()
        .filter_map(|mark| match mark {
            scene::Mark::Shape(scene::Geometry::Rect(x, y, w, h), scene::Fill::Faint(_), ..) => {
                Some((*x, *y, *w, *h))
            }
            _ => None,
        })
        .collect();
    let [a, b, c, d] = boxes[..] else { panic!("{boxes:?}") };
    assert!(a.1 < b.1 && (b.1 - c.1).abs() < 1e-9 && c.1 < d.1);
    assert!(b.0 + b.2 < c.0 || c.0 + c.2 < b.0);
    let lines = chart.scene.marks.iter().filter_map(|mark| match mark {
        scene::Mark::Shape(scene::Geometry::Open(places), ..) => Some(places),
        _ => None,
    });
    let mut arrows = 0;
    for places in lines {
        arrows += 1;
        for pair in places.windows(2) {
            for step in 1..100 {
                let share = f64::from(step) / 100.0;
                let at = |of: fn(&(f64, f64)) -> f64| of(&pair[0]) + share * (of(&pair[1]) - of(&pair[0]));
                let (x, y) = (at(|place| place.0), at(|place| place.1));
                let inside = |of: &(f64, f64, f64, f64)| {
                    x > of.0 + 1e-6 && x < of.0 + of.2 - 1e-6 && y > of.1 + 1e-6 && y < of.1 + of.3 - 1e-6
                };
                assert!(!boxes.iter().any(inside), "{x} {y} in {boxes:?}");
            }
        }
    }
    assert_eq!(arrows, 5);
}

fn every(values: &[f64]) -> Vec<Chart> {
    let mut charts = others(values);
    charts.push(plot(values));
    charts
}

fn wild() -> Vec<Vec<f64>> {
    vec![
        vec![],
        vec![0.3],
        vec![0.0, 0.0],
        vec![2.0, 2.0, 2.0],
        vec![f64::NAN, 1.0, f64::INFINITY, 2.0, f64::NEG_INFINITY],
        vec![1e300, -1e300, f64::MAX, f64::MIN, 5e-324],
        vec![-3.0, -2.5, 1e-9],
    ]
}

/// The numbers in attributes that hold coordinates.
fn numbers(svg: &str) -> Vec<&str> {
    let attributes = [
        " x=\"",
        " y=\"",
        " d=\"",
        " width=\"",
        " height=\"",
        " cx=\"",
        " cy=\"",
        " r=\"",
        " viewBox=\"",
        "rotate(",
    ];
    let of = |attribute: &&str| {
        svg.split(*attribute).skip(1).filter_map(|rest| rest.split(['"', ')']).next()).collect()
    };
    let values: Vec<&str> = attributes.iter().flat_map(|attribute| -> Vec<&str> { of(attribute) }).collect();
    values.into_iter().flat_map(|v| v.split(['M', 'L', 'Z', ' '])).filter(|n| !n.is_empty()).collect()
}

#[test]
fn drawn_twice_a_chart_is_the_same_bytes() {
    for (a, b) in every(&[0.2, 0.5, 0.9]).iter().zip(every(&[0.2, 0.5, 0.9])) {
        assert_eq!((a.file(), a.inline()), (b.file(), b.inline()));
        assert_eq!(a.png(300).unwrap(), b.png(300).unwrap());
    }
}

#[test]
fn whatever_the_values_a_chart_holds_numbers_of_at_most_two_decimals() {
    for values in wild() {
        for chart in every(&values) {
            let svg = chart.file();
            for number in numbers(&svg) {
                let value: f64 = number.parse().unwrap_or_else(|_| panic!("{number} in {svg}"));
                assert!(value.is_finite() && value.abs() <= 1e5, "{number} in {svg}");
                assert!(number.split_once('.').is_none_or(|(_, decimals)| decimals.len() <= 2), "{number}");
            }
            assert!(chart.scene.width > 0.0 && chart.scene.height > 0.0 && chart.scene.height < 3000.0);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            chart.png(200).unwrap();
        }
    }
}

#[test]
fn words_are_escaped_wherever_they_stand() {
    for chart in every(&[1.0, 2.0]) {
        for svg in [chart.file(), chart.inline()] {
            assert!(!svg.contains("<b>") && !svg.contains('\u{1}') && !svg.contains("\"a\""), "{svg}");
            assert!(svg.contains("&lt;b&gt;"), "{svg}");
        }
        // A parser agrees.
        let options = resvg::usvg::Options::default();
        resvg::usvg::Tree::from_str(&chart.file(), &options).unwrap();
    }
}

#[test]
fn ids_begin_with_the_name() {
    for mut chart in every(&[1.0, 2.0]) {
        chart.name = "my chart".to_owned();
        let svg = chart.inline();
        for id in svg.split(" id=\"").skip(1).chain(svg.split("url(#").skip(1)) {
            assert!(id.starts_with("my_chart-"), "{id}");
        }
    }
    assert!(plot(&[1.0, 2.0]).file().contains("<clipPath id=\"all-clip-0\">"));
}

#[test]
fn on_the_page_no_colour_is_fixed() {
    for chart in every(&[1.0, 2.0]) {
        let svg = chart.inline();
        assert!(!svg.contains("=\"#") && !svg.contains("http") && !svg.contains("font-family"), "{svg}");
        assert!(svg.contains("role=\"img\" aria-label=\"") && svg.contains("currentColor"), "{svg}");
        assert!(!chart.file().contains("var(") && !chart.file().contains("currentColor"));
    }
}

#[test]
fn lines_and_bars_differ_without_colour() {
    let line = |height: f64| Line::new([(0.0, height), (1.0, height)]).colour(Colour::First);
    let plot = Plot::new("lines", "", Axis::new("x"), Axis::new("y"));
    let svg = plot.with(line(1.0)).with(line(2.0)).with(line(3.0)).with(line(4.0)).draw().file();
    let mut dashes: Vec<&str> =
        svg.split("stroke-dasharray=\"").skip(1).map(|d| d.split('"').next().unwrap()).collect();
    dashes.sort_unstable();
    dashes.dedup();
    assert_eq!(dashes.len(), 3, "{svg}");
    assert!(others(&[1.0]).first().unwrap().file().contains("fill=\"url(#bars-hatch-second)\""));
}

#[test]
fn under_the_mouse_a_short_line_says_its_values_and_a_long_one_nothing() {
    let line = |n: u32| Line::new((0..n).map(|i| (f64::from(i), f64::from(i * i)))).legend("loss");
    let draw = |line| Plot::new("a", "", Axis::new("epoch"), Axis::new("y")).with(line).draw().inline();
    assert!(draw(line(5)).contains("<title>loss\nepoch: 3\ny: 9</title>"));
    assert_eq!(draw(line(201)).matches("<title>").count(), 0);
    let own = draw(line(2).hover(["one".to_owned(), "two".to_owned()]));
    assert!(own.contains("<title>one</title>") && own.contains("<title>two</title>"));
    let bars = others(&[4.0]).remove(0).inline();
    assert!(bars.contains("\nb: 4</title>"), "{bars}");
}

/// How many pixels of a PNG are dark.
fn ink(png: &[u8]) -> (u32, u32, usize) {
    let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgba);
    assert!(pixels.chunks_exact(4).all(|p| p[3] == 255), "the background has holes");
    let dark = pixels.chunks_exact(4).filter(|p| p[0] < 100).count();
    (info.width, info.height, dark)
}

#[test]
fn a_png_has_its_width_and_ink_of_either_alphabet() {
    for chart in every(&[1.0, 2.0]) {
        let (width, height, dark) = ink(&chart.png(440).unwrap());
        assert_eq!(width, 440);
        assert!(height > 50 && dark > 100, "{} {height} {dark}", chart.name);
    }
    let said = |words: &str| ink(&Flow::new("f", "").station(words, "").draw().png(720).unwrap()).2;
    let (none, latin, cyrillic) = (said(""), said("patients"), said("пациентов"));
    assert!(latin > none + 50 && cyrillic > none + 50, "{none} {latin} {cyrillic}");
    assert_ne!(said("пациентов"), said("пппппппп"));
}

#[test]
fn a_png_of_no_or_of_huge_size_is_an_error() {
    let chart = plot(&[1.0]);
    assert!(matches!(chart.png(0), Err(Error::Size { width: 0, .. })));
    assert!(matches!(chart.png(1_000_000), Err(Error::Size { .. })));
}

#[test]
fn words_stay_within_the_chart() {
    let long = "чувствительность на независимой тестовой выборке (доля истинно положительных)";
    let plot =
        Plot::new("p", "", Axis::share(long), Axis::share(long)).with(Reference::vertical(0.99, "порог"));
    let row = Row::new(long, Some(0.5), "0.5").flagged(true);
    let forest = Forest::new("f", "", Axis::share(long)).whole(0.5, long).with(row);
    for chart in
        [plot.with(Line::new([]).legend(long)).draw(), forest.draw(), others(&[1.0, 2.0, 3.0]).remove(3)]
    {
        for mark in &chart.scene.marks {
            let scene::Mark::Words(words) = mark else { continue };
            let wide = text::width(&words.text, words.size);
            let begin = match words.anchor {
                scene::Anchor::Start => 0.0,
                scene::Anchor::Middle => wide / 2.0,
                scene::Anchor::End => wide,
            };
            let at = if words.turned == 0.0 { words.at.0 } else { words.at.1 };
            let room = if words.turned == 0.0 { chart.scene.width } else { chart.scene.height };
            assert!(at - begin >= 0.0 && at - begin + wide <= room, "{} {words:?}", chart.name);
        }
    }
}

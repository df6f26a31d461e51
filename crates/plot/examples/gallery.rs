//! Writes every kind of chart as SVG and PNG, in English and in Russian, and a page that shows all
//! of them.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use ctpipe_plot::{
    Aside, Axis, Band, Bars, Chart, Colour, Dash, Flow, Forest, Line, Plot, Point, Points, Reference, Row,
    Series, Shape,
};

/// Picks the text in the current language.
type Say = fn(&'static str, &'static str) -> &'static str;

fn main() -> Result<(), Box<dyn Error>> {
    let out = std::env::args().nth(1).unwrap_or_else(|| "gallery".to_owned());
    let english: Say = |en, _| en;
    let russian: Say = |_, ru| ru;
    let mut page = "<!doctype html><meta charset=utf-8><style>:root{--first:#0b6e8a;--second:#b85900;\
        --third:#6a4c93;--muted:#5c6873;--line:#d9e0e6;--paper:#fff;color:#17212b}\
        @media(prefers-color-scheme:dark){:root{--first:#4fc0de;--second:#f5a04c;--third:#b79ae0;--muted:#9aa7b3;\
        --line:#34404b;--paper:#11161b;color:#e4e9ee;background:#11161b}}\
        body{font:15px system-ui,sans-serif}svg{max-width:100%;height:auto;margin:1em}</style>"
        .to_owned();
    for (language, say) in [("en", english), ("ru", russian)] {
        for mut chart in charts(say) {
            chart.name = format!("{}_{language}", chart.name);
            let start = Instant::now();
            let png = chart.png(880)?;
            println!(
                "{:24} {:4} ms {:7} bytes PNG {:7} bytes SVG",
                chart.name,
                start.elapsed().as_millis(),
                png.len(),
                chart.file().len()
            );
            std::fs::create_dir_all(&out)?;
            std::fs::write(Path::new(&out).join(format!("{}.png", chart.name)), png)?;
            std::fs::write(Path::new(&out).join(format!("{}.svg", chart.name)), chart.file())?;
            page.push_str(&chart.inline());
        }
    }
    std::fs::write(Path::new(&out).join("page.html"), page)?;
    Ok(())
}

fn charts(say: Say) -> Vec<Chart> {
    vec![
        roc(say),
        pr(say),
        calibration(say),
        decision(say),
        loss(say),
        rate(say),
        ages(say),
        stacked(say),
        forest(say),
        flow(say),
        vendors(say),
    ]
}

fn roc(say: Say) -> Chart {
    let steps = 60;
    let at = |i: i32| f64::from(i) / f64::from(steps);
    let curve = move |x: f64| 1.0 - (1.0 - x).powf(4.2);
    let jag = move |i: i32| {
        (curve(at(i)) + 0.02 * (f64::from(i) * 1.7).sin() * at(i) * (1.0 - at(i)) * 4.0).clamp(0.0, 1.0)
    };
    let band = (0..=steps).map(|i| {
        (
            at(i),
            (jag(i) - 0.3 * at(i).sqrt() * (1.0 - at(i))).max(0.0),
            (jag(i) + 0.25 * at(i).sqrt() * (1.0 - at(i))).min(1.0),
        )
    });
    Plot::new(
        "roc",
        "ROC",
        Axis::share(say(
            "1 − specificity (false positive rate)",
            "1 − специфичность (доля ложноположительных)",
        )),
        Axis::share(say("sensitivity (true positive rate)", "чувствительность (доля истинно положительных)")),
    )
    .square()
    .with(Band::new(band).legend(say("95 % interval", "95 % доверительный интервал")))
    .with(
        Line::new([(0.0, 0.0), (1.0, 1.0)])
            .colour(Colour::Muted)
            .dash(Dash::Dotted)
            .width(1.25)
            .legend(say("chance", "случайное угадывание")),
    )
    .with(
        Line::new((0..=steps).map(|i| (at(i), jag(i))))
            .stepped()
            .legend(say("test set, AUC 0.808", "тестовая часть, AUC 0,808")),
    )
    .with(
        Points::new([Point::new(0.2, jag(12)).hover("t = 0.41")])
            .shape(Shape::Diamond)
            .legend(say("at the threshold 0.41", "при пороге 0,41")),
    )
    .alternative(say("The AUC is 0.808.", "AUC равна 0,808."))
    .draw()
}

fn pr(say: Say) -> Chart {
    let at = |i: i32| f64::from(i) / 50.0;
    let line = (0..=50).map(|i| (at(i), 0.95 - 0.62 * at(i).powi(3)));
    Plot::new(
        "pr",
        "PR",
        Axis::share(say("recall (sensitivity)", "полнота (чувствительность)")),
        Axis::share(say("precision", "точность (PPV)")),
    )
    .square()
    .with(Reference::horizontal(0.33, say("share of positives: 0.33", "доля положительных: 0,33")))
    .with(Line::new(line).legend(say("test set", "тестовая часть")))
    .with(
        Points::new([Point::new(0.6, 0.816)])
            .shape(Shape::Diamond)
            .legend(say("at the threshold", "при пороге")),
    )
    .draw()
}

fn calibration(say: Say) -> Chart {
    let bins = [0.05, 0.15, 0.27, 0.38, 0.5, 0.62, 0.71, 0.84, 0.95];
    let before = bins.map(|x: f64| {
        Point::new(x, x.powf(1.8)).interval((x.powf(1.8) - 0.09).max(0.0), (x.powf(1.8) + 0.1).min(1.0))
    });
    let after =
        bins.map(|x: f64| Point::new(x + 0.012, x - 0.02).interval((x - 0.12).max(0.0), (x + 0.07).min(1.0)));
    Plot::new(
        "calibration",
        "Calibration",
        Axis::share(say("predicted probability", "предсказанная вероятность")),
        Axis::share(say("share of positives", "наблюдаемая доля положительных")),
    )
    .square()
    .with(
        Line::new([(0.0, 0.0), (1.0, 1.0)])
            .colour(Colour::Muted)
            .dash(Dash::Dotted)
            .width(1.25)
            .legend(say("perfect", "идеальная калибровка")),
    )
    .with(
        Points::new(before)
            .shape(Shape::Square)
            .colour(Colour::Second)
            .legend(say("before calibration", "до калибровки")),
    )
    .with(Points::new(after).colour(Colour::First).legend(say("after calibration", "после калибровки")))
    .draw()
}

fn decision(say: Say) -> Chart {
    let at = |i: i32| f64::from(i) / 50.0;
    let odds = |t: f64| t / (1.0 - t);
    let all = (0..=49).map(|i| (at(i), 0.33 - 0.67 * odds(at(i))));
    let model = (0..=49).map(|i| (at(i), (0.33 - 0.25 * at(i) - 0.1 * odds(at(i)) * at(i)).max(-0.02)));
    Plot::new(
        "decision",
        "Decision",
        Axis::new(say("threshold probability", "пороговая вероятность")).range(0.0, 1.0),
        Axis::new(say("net benefit", "чистая выгода")).range(-0.1, 0.4),
    )
    .with(Line::new(model).legend(say("model", "модель")))
    .with(Line::new(all).legend(say("treat all", "лечить всех")))
    .with(
        Line::new([(0.0, 0.0), (1.0, 0.0)])
            .colour(Colour::Muted)
            .width(1.5)
            .legend(say("treat none", "не лечить никого")),
    )
    .with(Reference::vertical(0.41, say("threshold used", "принятый порог")))
    .draw()
}

fn loss(say: Say) -> Chart {
    let train = (1..=40).map(|e| (f64::from(e), 0.15 + 0.55 * (-f64::from(e) / 9.0).exp()));
    let val = (1..=40).map(|e| {
        (
            f64::from(e),
            0.32 + 0.4 * (-f64::from(e) / 7.0).exp()
                + 0.004 * f64::from(e)
                + 0.015 * (f64::from(e) * 2.1).sin(),
        )
    });
    Plot::new(
        "loss",
        "Loss",
        Axis::new(say("epoch", "эпоха")).integer().tight(),
        Axis::new(say("loss", "функция потерь")),
    )
    .with(Line::new(train).legend(say("training", "обучение")))
    .with(Line::new(val).legend(say("validation", "проверка")))
    .with(Reference::vertical(17.0, say("weights kept", "сохранённые веса")))
    .with(Reference::vertical(24.0, say("rate lowered", "шаг уменьшен")).dash(Dash::Dotted))
    .with(
        Points::new([Point::new(
            17.0,
            0.32 + 0.4 * (-17.0_f64 / 7.0).exp() + 0.068 + 0.015 * 35.7_f64.sin(),
        )])
        .shape(Shape::Diamond)
        .legend(say("epoch kept", "выбранная эпоха")),
    )
    .draw()
}

fn rate(say: Say) -> Chart {
    let line = (1..=40).map(|e| (f64::from(e), 1e-3 * 0.5_f64.powi(e / 12)));
    Plot::new(
        "rate",
        "Rate",
        Axis::new(say("epoch", "эпоха")).integer().tight(),
        Axis::new(say("learning rate", "скорость обучения")).include(0.0),
    )
    .with(Line::new(line).stepped().legend(say("learning rate", "скорость обучения")))
    .draw()
}

fn age_series(say: Say) -> [Series; 3] {
    [
        Series::new(say("train", "обучение"), [12.0, 40.0, 88.0, 140.0, 205.0, 160.0, 51.0, 9.0]),
        Series::new(say("validation", "проверка"), [3.0, 9.0, 21.0, 30.0, 44.0, 35.0, 11.0, 0.0]),
        Series::new(say("test", "тест"), [2.0, 8.0, 20.0, 31.0, 42.0, 37.0, 10.0, 3.0]),
    ]
}

fn age_axes(say: Say) -> (Axis, Axis) {
    let bins = ["< 20", "20–29", "30–39", "40–49", "50–59", "60–69", "70–79", "≥ 80"];
    (
        Axis::of_categories(say("age in years", "возраст, лет"), bins),
        Axis::new(say("patients", "пациентов")).integer(),
    )
}

fn ages(say: Say) -> Chart {
    let (x, y) = age_axes(say);
    Plot::new("ages", "Ages", x, y).with(Bars::grouped(age_series(say))).draw()
}

fn stacked(say: Say) -> Chart {
    let (x, y) = age_axes(say);
    Plot::new("stacked", "Ages", x, y).with(Bars::stacked(age_series(say))).draw()
}

fn vendors(say: Say) -> Chart {
    let names = [
        "Siemens Healthineers",
        "GE Medical Systems",
        "Philips",
        "Canon Medical Systems",
        "Toshiba",
        say("unknown", "неизвестен"),
    ];
    Plot::new(
        "vendors",
        "Vendors",
        Axis::of_categories(say("maker of the scanner", "производитель сканера"), names),
        Axis::new(say("series", "серий")).integer(),
    )
    .with(Bars::grouped([Series::new(say("series", "серии"), [430.0, 377.0, 155.0, 80.0, 66.0, 12.0])]))
    .draw()
}

fn forest(say: Say) -> Chart {
    Forest::new(
        "forest",
        "Forest",
        Axis::new(say("AUC with 95 % interval", "AUC и 95 % доверительный интервал")),
    )
    .columns(say("group (patients)", "группа (пациентов)"), say("AUC (95 % interval)", "AUC (95 % ДИ)"))
    .whole(0.871, say("all 0.871", "все 0,871"))
    .with(Row::heading(say("Sex", "Пол")))
    .with(
        Row::new(say("female (212)", "женщины (212)"), Some(0.882), "0.882 (0.841–0.920)")
            .interval(0.841, 0.92),
    )
    .with(
        Row::new(say("male (240)", "мужчины (240)"), Some(0.86), "0.860 (0.815–0.901)")
            .interval(0.815, 0.901),
    )
    .with(Row::heading(say("Age", "Возраст")))
    .with(
        Row::new(say("below 50 (98)", "до 50 лет (98)"), Some(0.91), "0.910 (0.850–0.962)")
            .interval(0.85, 0.962),
    )
    .with(
        Row::new(say("50 to 69 (250)", "от 50 до 69 лет (250)"), Some(0.872), "0.872 (0.834–0.908)")
            .interval(0.834, 0.908),
    )
    .with(
        Row::new(say("70 and above (104)", "70 лет и старше (104)"), Some(0.741), "0.741 (0.640–0.833)")
            .interval(0.64, 0.833)
            .flagged(true),
    )
    .with(Row::heading(say("Scanner", "Сканер")))
    .with(Row::new("Siemens (201)", Some(0.88), "0.880 (0.837–0.919)").interval(0.837, 0.919))
    .with(
        Row::new(
            say(
                "Makers with fewer than 30 patients, together (41)",
                "Производители, у которых менее 30 пациентов, вместе (41)",
            ),
            Some(0.84),
            "0.840 (0.701–0.940)",
        )
        .interval(0.701, 0.94),
    )
    .with(Row::new(say("unknown (6)", "неизвестен (6)"), None, say("too few", "слишком мало")))
    .draw()
}

fn flow(say: Say) -> Chart {
    Flow::new("flow", "Flow")
        .station(
            say("DICOM series found", "Найдено серий DICOM"),
            say("1 482 series of 1 120 patients", "1 482 серии, 1 120 пациентов"),
        )
        .aside(
            Aside::new(say("Not used", "Исключено"), "205")
                .reason(
                    say(
                        "overview image (scout, topogram), or one among the slices",
                        "обзорный снимок (топограмма) или он среди срезов",
                    ),
                    "120",
                )
                .reason(say("slice thickness out of range", "толщина среза вне заданного диапазона"), "61")
                .reason(say("no label", "нет метки"), "24"),
        )
        .station(
            say("Usable series", "Пригодные серии"),
            say("1 277 series of 1 015 patients", "1 277 серий, 1 015 пациентов"),
        )
        .aside(Aside::new(say("Other series of the same patient", "Другие серии того же пациента"), "262"))
        .station(
            say("One series for each patient", "По одной серии на пациента"),
            say("1 015 series", "1 015 серий"),
        )
        .part(
            say("Training", "Обучение"),
            say("705 patients, 231 positive", "705 пациентов, 231 положительный"),
        )
        .part(
            say("Validation", "Проверка"),
            say("153 patients, 50 positive", "153 пациента, 50 положительных"),
        )
        .part(say("Test", "Тест"), say("157 patients, 52 positive", "157 пациентов, 52 положительных"))
        .draw()
}

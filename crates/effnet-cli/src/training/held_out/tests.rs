use super::*;
use crate::training::values::Auto;

fn partial(change: impl FnOnce(&mut PartialSettings)) -> PartialSettings {
    let mut settings = PartialSettings::default();
    change(&mut settings);
    settings
}

fn folds(folds: u32, fold: u32) -> PartialSettings {
    partial(|settings| (settings.folds, settings.fold) = (Some(folds), Some(fold)))
}

fn fraction(fraction: f64) -> PartialSettings {
    partial(|settings| settings.val_split = Some(fraction))
}

/// All settings, as a run writes them to its config.json.
fn file_of_run(settings: PartialSettings) -> PartialSettings {
    let settings = combine(settings, PartialSettings::default()).or_defaults(Settings::of_train());
    settings.check().unwrap();
    serde_json::from_value(serde_json::to_value(settings).unwrap()).unwrap()
}

fn resolved(flags: PartialSettings, file: PartialSettings) -> anyhow::Result<Settings> {
    let settings = combine(flags, file).or_defaults(Settings::of_train());
    settings.check().map(|()| settings)
}

fn held_out(flags: PartialSettings, file: PartialSettings) -> Option<HoldOut> {
    resolved(flags, file).unwrap().hold_out()
}

fn refusal(flags: PartialSettings) -> String {
    resolved(flags, PartialSettings::default())
        .unwrap_err()
        .to_string()
}

#[test]
fn a_choice_on_the_command_line_replaces_that_of_the_config_of_a_run() {
    let none = PartialSettings::default;
    let of_fraction = file_of_run(fraction(0.3));
    let of_fold = file_of_run(folds(5, 1));
    let fold = |fold, folds| Some(HoldOut::Fold { fold, folds });
    assert_eq!(held_out(none(), none()), Some(HoldOut::Fraction(0.2)));
    assert_eq!(
        held_out(none(), of_fraction.clone()),
        Some(HoldOut::Fraction(0.3))
    );
    assert_eq!(held_out(none(), of_fold.clone()), fold(1, 5));
    assert_eq!(held_out(folds(4, 2), of_fraction), fold(2, 4));
    let next = partial(|settings| settings.fold = Some(2));
    assert_eq!(held_out(next, of_fold.clone()), fold(2, 5));
    assert_eq!(
        held_out(fraction(0.1), of_fold.clone()),
        Some(HoldOut::Fraction(0.1))
    );
    assert_eq!(held_out(fraction(0.0), of_fold.clone()), None);
    let val = || partial(|settings| settings.val = Some("others".into()));
    assert_eq!(held_out(val(), of_fold.clone()), None);
    let of_val = file_of_run(val());
    assert_eq!(
        resolved(none(), of_val.clone()).unwrap().data_of_validation(),
        Path::new("others")
    );
    let settings = resolved(folds(4, 2), of_val).unwrap();
    assert_eq!(
        (settings.hold_out(), settings.validation_data()),
        (fold(2, 4), None)
    );
    // A column of the file is about the split that is replaced.
    let grouped = partial(|settings| settings.group_column = Some("patient".to_owned()));
    assert_eq!(resolved(val(), file_of_run(grouped)).unwrap().grouping(), None);
}

#[test]
fn contradictions_name_their_flags() {
    let both = partial(|settings| {
        (settings.folds, settings.fold, settings.val_split) = (Some(5), Some(1), Some(0.1));
    });
    for (flags, words) in [
        (folds(1, 1), "--folds 1: expected at least 2"),
        (folds(5, 0), "--folds 5: expected --fold too"),
        (folds(0, 2), "--fold 2: expected --folds too"),
        (folds(5, 6), "--fold 6: expected a fold from 1 to 5"),
        (both, "expected no --val-split, found 0.1"),
    ] {
        let message = refusal(flags);
        assert!(message.contains(words), "`{words}` is not in: {message}");
    }
    let grouped = PartialSettings {
        group_column: Some("patient".to_owned()),
        ..fraction(0.0)
    };
    assert!(refusal(grouped).contains("--group-column patient"));
    for (flags, other) in [
        (folds(5, 1), "--folds 5"),
        (fraction(0.1), "--val-split 0.1"),
        (
            partial(|settings| settings.group_column = Some("patient".to_owned())),
            "--group-column patient",
        ),
    ] {
        let message = refusal(PartialSettings {
            val: Some("others".into()),
            ..flags
        });
        assert!(
            message.contains("--val others") && message.contains(other),
            "{message}"
        );
    }
}

#[test]
fn the_split_has_the_seed_of_the_run_unless_it_has_another() {
    let mut settings = Settings::of_finetune();
    settings.seed = 7;
    assert_eq!(settings.seed_of_split(), 7);
    settings.split_seed = Auto::Value(3);
    assert_eq!(settings.seed_of_split(), 3);
}

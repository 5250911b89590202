//! Tables with several labels per image, or with numbers to predict.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod images;
mod listed;

use effnet_architecture::Task;
use effnet_data::{DataError, Dataset, Evaluation, EvaluationOptions, Notice, Reading, Splits, support};
use images::{write, write_images};
use listed::{home, rows, targets};
use tempfile::tempdir;

#[test]
fn what_contradicts_the_task_far_below_the_first_rows_is_warned_of() {
    let root = tempdir().unwrap();
    let names: Vec<String> = (0..300).map(|number| format!("{number}.bmp")).collect();
    let borrowed: Vec<&str> = names.iter().map(String::as_str).collect();
    borrowed
        .chunks(80)
        .for_each(|some| write_images(root.path(), some));
    let table = |label: &dyn Fn(usize) -> String| {
        let rows = names.iter().enumerate();
        let rows = rows.map(|(number, name)| format!("{name},{}\n", label(number)));
        write(
            root.path(),
            "t.csv",
            ("path,label\n".to_owned() + &rows.collect::<String>()).as_bytes(),
        );
        Splits::open_for(root.path().join("t.csv"), None).unwrap().reading
    };
    let last = |text: &str, other: &str, number| if number == 299 { text } else { other }.to_owned();
    let several = table(&|number| last("x;y", ["x", "y"][number % 2], number));
    let combined = |notice: &Notice| matches!(notice, Notice::CombinedLabels { .. });
    assert!(several.task == Task::Classify && several.notices.iter().any(combined));
    let asked = Splits::open_for(root.path().join("t.csv"), Some(Task::MultiLabel)).unwrap();
    assert_eq!(asked.train.classes(), ["x", "y"]);
    // Whole numbers are classes, but with a fraction, or so many of few images each, they are more likely quantities.
    let warnings = |reading: &Reading| {
        let notices = reading.notices.iter();
        let texts = notices.filter(|notice| matches!(notice, Notice::Quantities { .. }));
        texts.map(Notice::to_string).collect::<Vec<_>>()
    };
    let late = table(&|number| last("5.5", "5", number));
    assert!(late.task == Task::Classify && warnings(&late).len() == 1);
    let prices = table(&|number| (number / 2 * 50).to_string());
    assert_eq!(prices.task, Task::Classify);
    assert!(warnings(&prices)[0].contains("150 different numbers"));
    let asked = Splits::open_for(root.path().join("t.csv"), Some(Task::Classify)).unwrap();
    assert_eq!(warnings(&asked.reading), [""; 0]);
    let classes = table(&|number| (number % 20).to_string());
    assert_eq!(warnings(&classes), [""; 0]);
}

#[test]
fn the_task_is_told_from_the_labels() {
    let images = ["a.bmp", "b.bmp", "c.bmp"];
    for (table, task, expected, reason) in [
        (
            "path,label\na.bmp,x\nb.bmp,y\nc.bmp,x\n",
            Task::Classify,
            "a.bmp x, b.bmp y, c.bmp x",
            None,
        ),
        // A semicolon in a name, numbers of classes and a confidence beside the label do not make another task.
        (
            "path,label\na.bmp,x;z\nb.bmp,y\nc.bmp,y\n",
            Task::Classify,
            "a.bmp x;z, b.bmp y, c.bmp y",
            None,
        ),
        (
            "path,label\na.bmp,1\nb.bmp,2\nc.bmp,1\n",
            Task::Classify,
            "a.bmp 1, b.bmp 2, c.bmp 1",
            None,
        ),
        (
            "path,label,p\na.bmp,x,0.5\nb.bmp,y,0.7\nc.bmp,x,1\n",
            Task::Classify,
            "a.bmp x, b.bmp y, c.bmp x",
            None,
        ),
        (
            "path,x,y\na.bmp,1,0\nb.bmp,0,1\nc.bmp,0,1\n",
            Task::Classify,
            "a.bmp 0, b.bmp 1, c.bmp 1",
            None,
        ),
        (
            "path,cat,dog\na.bmp,1,0\nb.bmp,0,1\nc.bmp,0,1\n",
            Task::Classify,
            "a.bmp cat, b.bmp dog, c.bmp dog",
            None,
        ),
        (
            "path,label\na.bmp,x;z\nb.bmp,z\nc.bmp,x\n",
            Task::MultiLabel,
            "a.bmp x+z, b.bmp z, c.bmp x",
            Some("`x;z`"),
        ),
        (
            "path,label\na.bmp,x|z\nb.bmp,z|w\nc.bmp,\n",
            Task::MultiLabel,
            "a.bmp x+z, b.bmp w+z, c.bmp ",
            Some("`x|z`"),
        ),
        (
            "path,cat,dog\na.bmp,1,1\nb.bmp,0,1\nc.bmp,0,0\n",
            Task::MultiLabel,
            "a.bmp cat+dog, b.bmp dog, c.bmp ",
            Some("2 of 2 columns are 1 on line 2"),
        ),
        (
            "path,label1,label2\na.bmp,x,z\nb.bmp,z,\nc.bmp,x,x\n",
            Task::MultiLabel,
            "a.bmp x+z, b.bmp z, c.bmp x",
            Some("label1, label2"),
        ),
        (
            "path,price\na.bmp,1.5\nb.bmp,2\nc.bmp,-3e2\n",
            Task::Regression,
            "a.bmp price=1.5, b.bmp price=2, c.bmp price=-300",
            Some("such as 1.5 in the column price"),
        ),
        (
            "path,x,y\na.bmp,1.5,2\nb.bmp,2,0.5\nc.bmp,3,4\n",
            Task::Regression,
            "a.bmp x=1.5+y=2, b.bmp x=2+y=0.5, c.bmp x=3+y=4",
            Some("x, y"),
        ),
    ] {
        let root = home(&images, table);
        let splits = Splits::open_for(root.path().join("list.csv"), None);
        let splits = splits.unwrap_or_else(|error| panic!("{table}: {error}"));
        assert_eq!(
            (splits.train.task(), splits.reading.task),
            (task, task),
            "{table}"
        );
        let found = match task {
            Task::Classify => rows(root.path(), &*splits.train),
            _ => targets(root.path(), &*splits.train),
        };
        assert_eq!(found, expected, "{table}");
        let found = splits.reading.task_reason;
        assert_eq!(found.is_some(), reason.is_some(), "{table}: {found:?}");
        assert!(
            reason.is_none_or(|reason| found.unwrap().contains(reason)),
            "{table}"
        );
    }
}

#[test]
fn a_task_that_is_asked_for_is_read_or_refused() {
    let images = ["a.bmp", "b.bmp"];
    let open = |table: &str, task: Task| {
        let root = home(&images, table);
        let splits = Splits::open_for(root.path().join("list.csv"), Some(task));
        splits
            .map(|splits| targets(root.path(), &*splits.train))
            .map_err(|error| error.to_string())
    };
    let found = open("path,label\na.bmp,\"x, z\"\nb.bmp,z\n", Task::MultiLabel);
    assert_eq!(found.unwrap(), "a.bmp x+z, b.bmp z");
    // One label per row.
    let found = open("path,label\na.bmp,x\nb.bmp,z\na.bmp,z\n", Task::MultiLabel);
    assert_eq!(found.unwrap(), "a.bmp x+z, b.bmp z");
    let found = open("path,age\na.bmp,7\nb.bmp,31\n", Task::Regression);
    assert_eq!(found.unwrap(), "a.bmp age=7, b.bmp age=31");
    for (table, task, words) in [
        (
            "path,age\na.bmp,NaN\nb.bmp,3\n",
            Task::Regression,
            "`NaN` in column age on line 2",
        ),
        (
            "path,age\na.bmp,1e300\nb.bmp,3\n",
            Task::Regression,
            "`1e300` in column age on line 2",
        ),
        (
            "path,label\na.bmp,7\nb.bmp,old\n",
            Task::Regression,
            "`old` in column label on line 3",
        ),
        ("path,age\na.bmp,7.5\nb.bmp,\n", Task::Regression, "on line 3"),
        (
            "path,age\na.bmp,7.5\nb.bmp,1\na.bmp,8\n",
            Task::Regression,
            "different values",
        ),
        (
            "path,text\na.bmp,seven\nb.bmp,old\n",
            Task::Regression,
            "a column of numbers",
        ),
        (
            "path,cat,dog\na.bmp,1,0\nb.bmp,0,2\n",
            Task::MultiLabel,
            "`labels`",
        ),
        ("path,label\na.bmp,\nb.bmp,\n", Task::MultiLabel, "no labels"),
        ("path,label\na.bmp,x\nb.bmp,\n", Task::Classify, "on line 3"),
        ("path,cat,dog\na.bmp,1,0\nb.bmp,1,1\n", Task::Classify, "unless"),
    ] {
        let error = open(table, task).unwrap_err();
        assert!(error.contains(words), "`{words}` is not in: {error}");
    }
}

#[test]
fn validation_rows_must_have_the_labels_and_columns_of_training() {
    let images = ["a.bmp", "b.bmp", "c.bmp", "d.bmp"];
    let table = "path,labels,split\na.bmp,x;z,train\nb.bmp,z,train\nc.bmp,z;x,val\nd.bmp,,test\n";
    let root = home(&images, table);
    let splits = Splits::open_for(root.path().join("list.csv"), None).unwrap();
    assert_eq!(targets(root.path(), &*splits.train), "a.bmp x+z, b.bmp z");
    assert_eq!(targets(root.path(), &*splits.val.unwrap()), "c.bmp x+z");
    let root = home(&images, &table.replace("z;x", "z;new"));
    let error = Splits::open_for(root.path().join("list.csv"), None).unwrap_err();
    assert!(
        matches!(&error, DataError::UnknownClasses { unknown, .. } if unknown.names() == ["new"]),
        "{error}"
    );
    let root = home(&images[..2], "path,price\na.bmp,1.5\nb.bmp,2\n");
    let known = ["cost".to_owned(), "size".to_owned()];
    let path = root.path().join("list.csv");
    let options = |known: &[String]| {
        let options = EvaluationOptions::default().with_task(Task::Regression);
        options.with_classes(known.to_vec())
    };
    let error = Evaluation::open(&path, &options(&known)).unwrap_err();
    assert!(error.to_string().contains("cost, size"), "{error}");
    let evaluation = Evaluation::open(&path, &options(&known[..1])).unwrap();
    assert_eq!(
        targets(root.path(), &*evaluation.images),
        "a.bmp cost=1.5, b.bmp cost=2"
    );
}

#[test]
fn lists_of_labels_in_json_lines_are_several_labels() {
    let root = tempdir().unwrap();
    write_images(root.path(), &["a.bmp", "b.bmp"]);
    let table = "{\"path\":\"a.bmp\",\"labels\":[\"x\",\"y;z\"]}\n{\"path\":\"b.bmp\",\"labels\":[\"x\"]}\n";
    write(root.path(), "list.jsonl", table.as_bytes());
    let splits = Splits::open_for(root.path().join("list.jsonl"), None).unwrap();
    assert_eq!(targets(root.path(), &*splits.train), "a.bmp x+y;z, b.bmp x");
    let error = Splits::open(root.path().join("list.jsonl"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("several labels (x, y;z) on line 1"), "{error}");
}

#[test]
fn class_folders_are_for_classification_only() {
    let root = tempdir().unwrap();
    write_images(root.path(), &["cat/a.bmp", "dog/b.bmp"]);
    assert_eq!(
        Splits::open_for(root.path(), None).unwrap().reading.task,
        Task::Classify
    );
    for task in [Task::MultiLabel, Task::Regression] {
        let error = Splits::open_for(root.path(), Some(task)).unwrap_err().to_string();
        assert!(
            error.contains("class folders") && error.contains(task.name()),
            "{error}"
        );
    }
}

#[test]
fn images_with_several_labels_are_held_out_by_their_rarest_label() {
    let images: Vec<String> = (0..40).map(|index| format!("{index:02}.bmp")).collect();
    let names: Vec<&str> = images.iter().map(String::as_str).collect();
    let label = |index: usize| {
        if index.is_multiple_of(10) {
            "common;rare"
        } else {
            "common"
        }
    };
    let rows = images
        .iter()
        .enumerate()
        .map(|(index, name)| format!("{name},{}\n", label(index)));
    let root = home(&names, &format!("path,label\n{}", rows.collect::<String>()));
    let splits = Splits::open_for(root.path().join("list.csv"), None)
        .unwrap()
        .or_split(0.25, 7);
    assert_eq!(support(&splits.train), [30, 3]);
    assert_eq!(support(&splits.val.unwrap()), [10, 1]);
}

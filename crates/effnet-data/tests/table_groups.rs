//! Groups of images that stay together, from a column of a table.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod images;
mod listed;

use effnet_architecture::Task;
use effnet_data::{DataOptions, Dataset, HoldOut, Splits, support};
use images::{write, write_images};
use listed::{assert_says, each, home, notices};
use tempfile::{TempDir, tempdir};

fn grouped(column: &str) -> DataOptions {
    DataOptions::default().with_group_column(column.to_owned())
}

/// The groups of the images: `a.bmp 0, b.bmp 1`.
fn groups(root: &TempDir, dataset: &dyn Dataset) -> String {
    each(root.path(), dataset, |index| {
        dataset
            .group(index)
            .map_or("-".to_owned(), |group| group.to_string())
    })
}

#[test]
fn a_column_groups_the_images_for_any_task_and_is_not_a_label() {
    let images = ["a.bmp", "b.bmp", "c.bmp"];
    for (table, task) in [
        // `type` is a common name for the label.
        (
            "path,type,sort\na.bmp,p1,x\nb.bmp,p2,y\nc.bmp,p1,x\n",
            Task::Classify,
        ),
        (
            "path,labels,Type\na.bmp,x;y,p1\nb.bmp,y,p2\nc.bmp,x;y,p1\n",
            Task::MultiLabel,
        ),
        (
            "path,price,type\na.bmp,1.5,7.5\nb.bmp,2,8.5\nc.bmp,3,7.5\n",
            Task::Regression,
        ),
    ] {
        let root = home(&images, table);
        let path = root.path().join("list.csv");
        let splits = Splits::open_with(&path, &grouped("type")).unwrap();
        assert_eq!(splits.reading.task, task, "{table}");
        assert_eq!(
            groups(&root, &*splits.train),
            "a.bmp 0, b.bmp 1, c.bmp 0",
            "{table}"
        );
        assert_eq!(notices(&splits.reading.notices, false), [""; 0], "{table}");
        let classes = if task == Task::Regression { 1 } else { 2 };
        assert_eq!(splits.train.classes().len(), classes, "{table}");
        let plain = Splits::open_for(&path, Some(task)).unwrap().train;
        assert_eq!(groups(&root, &*plain), "a.bmp -, b.bmp -, c.bmp -");
    }
}

#[test]
fn a_table_in_a_folder_of_images_may_group_them() {
    let root = tempdir().unwrap();
    write_images(root.path(), &["a.bmp", "b.bmp"]);
    write(
        root.path(),
        "metadata.csv",
        b"file_name,label,patient\na.bmp,x,9\nb.bmp,y,9\n",
    );
    let splits = Splits::open_with(root.path(), &grouped("patient")).unwrap();
    assert_eq!(groups(&root, &*splits.train), "a.bmp 0, b.bmp 0");
}

#[test]
fn data_that_cannot_be_grouped_are_refused_with_the_reason() {
    let images = ["a.bmp", "b.bmp"];
    for (table, words) in [
        (
            "path,label\na.bmp,x\nb.bmp,y\n",
            &["\"patient\"", "the columns path, label"][..],
        ),
        ("a.bmp,x,1\nb.bmp,y,2\n", &["no names of columns"]),
        (
            "path,label,split,patient\na.bmp,x,train,1\nb.bmp,y,val,2\n",
            &["split already (split = val)"],
        ),
        (
            "path,label,patient\na.bmp,x,1\nb.bmp,y,\n",
            &["nothing in column patient on line 3"],
        ),
        (
            "path,label,patient\na.bmp,x,1\nb.bmp,y,2\na.bmp,x,2\n",
            &["`2` in column patient on line 4", "another group"],
        ),
    ] {
        let root = home(&images, table);
        let opened = Splits::open_with(root.path().join("list.csv"), &grouped("patient"));
        assert_says(&opened.unwrap_err().to_string(), words);
    }
    let root = tempdir().unwrap();
    write_images(root.path(), &["cat/a.bmp", "dog/b.bmp"]);
    let error = Splits::open_with(root.path(), &grouped("patient"))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("class folders; list the images in a CSV file"),
        "{error}"
    );
}

#[test]
fn a_table_is_split_by_groups() {
    let names: Vec<String> = (0..24).map(|index| format!("{index:02}.bmp")).collect();
    let rows = names
        .iter()
        .enumerate()
        .map(|(index, name)| format!("{name},{},p{}\n", index % 2, index / 4));
    let images: Vec<&str> = names.iter().map(String::as_str).collect();
    let root = home(
        &images,
        &format!("path,label,patient\n{}", rows.collect::<String>()),
    );
    let splits = Splits::open_with(root.path().join("list.csv"), &grouped("patient")).unwrap();
    let splits = splits.hold_out(HoldOut::Fold { fold: 2, folds: 3 }, 5).unwrap();
    let val = splits.val.unwrap();
    assert_eq!((support(&splits.train), support(&val)), (vec![8, 8], vec![4, 4]));
    for index in 0..val.len() {
        assert!(!(0..splits.train.len()).any(|other| splits.train.group(other) == val.group(index)));
    }
}

//! Tables whose columns of labels the caller names.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod images;
mod listed;

use effnet_architecture::Task;
use effnet_data::{DataError, DataOptions, Evaluation, EvaluationOptions, Splits};
use images::{write, write_images};
use listed::{assert_says, home, notices, rows, targets};
use tempfile::tempdir;

fn labels(columns: &[&str]) -> DataOptions {
    let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
    DataOptions::default().with_label_columns(columns)
}

/// Reads `table` with these columns of labels: `TASK: IMAGES`.
fn read(table: &str, columns: &[&str], task: Option<Task>) -> Result<String, String> {
    let root = home(&["a.bmp", "b.bmp", "c.bmp"], table);
    let options = labels(columns).with_task(task);
    let splits =
        Splits::open_with(root.path().join("list.csv"), &options).map_err(|error| error.to_string())?;
    let task = splits.reading.task;
    let images = match task {
        Task::Classify => rows(root.path(), &*splits.train),
        _ => targets(root.path(), &*splits.train),
    };
    Ok(format!("{task}: {images}"))
}

/// Many columns, as hospitals and game studios export them. `label` and `dx` would be taken without a choice.
const PATIENTS: &str = "lesion_id,image_id,label,age,sex,site,x,y,red,round,blank,marks,set\n\
                        L1,a,nv,40,f,back,1,2,1,0,,old;round,north\n\
                        L2,b,mel,50.5,m,face,3,4,1,1,,old,south\n\
                        L3,c,nv,60,f,back,5,6,0,0,,new;round,south\n";

#[test]
fn the_named_columns_are_learned_and_their_contents_tell_the_task() {
    for (columns, expected) in [
        (&[][..], "classify: a.bmp nv, b.bmp mel, c.bmp nv"),
        (&["site"], "classify: a.bmp back, b.bmp face, c.bmp back"),
        (&["Image-ID"], "classify: a.bmp a, b.bmp b, c.bmp c"),
        (&["set"], "classify: a.bmp north, b.bmp south, c.bmp south"),
        (&["age"], "regression: a.bmp age=40, b.bmp age=50.5, c.bmp age=60"),
        (&["x"], "classify: a.bmp 1, b.bmp 3, c.bmp 5"),
        (
            &["y", "x"],
            "regression: a.bmp y=2+x=1, b.bmp y=4+x=3, c.bmp y=6+x=5",
        ),
        (
            &["marks"],
            "multilabel: a.bmp old+round, b.bmp old, c.bmp new+round",
        ),
        (
            &["site", "sex"],
            "multilabel: a.bmp back+f, b.bmp face+m, c.bmp back+f",
        ),
        (
            &["round", "red", "round"],
            "multilabel: a.bmp red, b.bmp round+red, c.bmp ",
        ),
    ] {
        // One image column is left where `image_id` is the label.
        let table = PATIENTS.replace("lesion_id", "file");
        let table = table
            .replace("L1,", "a.bmp,")
            .replace("L2,", "b.bmp,")
            .replace("L3,", "c.bmp,");
        assert_eq!(
            read(&table, columns, None).as_deref(),
            Ok(expected),
            "{columns:?}"
        );
    }
    for (columns, task, expected) in [
        (
            &["age"][..],
            Task::Classify,
            "classify: a.bmp 40, b.bmp 50.5, c.bmp 60",
        ),
        (
            &["x"],
            Task::Regression,
            "regression: a.bmp x=1, b.bmp x=3, c.bmp x=5",
        ),
        (
            &["site"],
            Task::MultiLabel,
            "multilabel: a.bmp back, b.bmp face, c.bmp back",
        ),
        (
            &["round"],
            Task::MultiLabel,
            "multilabel: a.bmp , b.bmp round, c.bmp ",
        ),
        (
            &["marks"],
            Task::Classify,
            "classify: a.bmp old;round, b.bmp old, c.bmp new;round",
        ),
        (
            &["x", "y"],
            Task::MultiLabel,
            "multilabel: a.bmp 1+2, b.bmp 3+4, c.bmp 5+6",
        ),
    ] {
        assert_eq!(
            read(PATIENTS, columns, Some(task)).as_deref(),
            Ok(expected),
            "{columns:?}"
        );
    }
}

#[test]
fn columns_of_0_and_1_are_classes_if_each_row_has_one_1() {
    let table = "path,cat,dog,indoor\na.bmp,1,0,1\nb.bmp,0,1,1\nc.bmp,0,1,0\n";
    let classes = "classify: a.bmp cat, b.bmp dog, c.bmp dog";
    assert_eq!(read(table, &["cat", "dog"], None).as_deref(), Ok(classes));
    let all = read(table, &["cat", "dog", "indoor"], None).unwrap();
    assert_eq!(all, "multilabel: a.bmp cat+indoor, b.bmp dog+indoor, c.bmp dog");
    // One column of 0 and 1 has two classes.
    let one = read(table, &["indoor"], None).unwrap();
    assert_eq!(one, "classify: a.bmp 1, b.bmp 1, c.bmp 0");
}

#[test]
fn a_choice_that_does_not_fit_is_refused_with_what_there_is() {
    let table = "path,cat,dog,name,price\na.bmp,1,0,x,1.5\nb.bmp,1,1,y,2\nc.bmp,0,1,,cheap\n";
    for (columns, task, words) in [
        (
            &["breed"][..],
            None,
            &["\"breed\"", "path, cat, dog, name, price", "name one of them"][..],
        ),
        (
            &["cat", "dog"],
            Some(Task::Classify),
            &["2 columns with a 1 on line 3", "--task multilabel"],
        ),
        (
            &["cat", "name"],
            Some(Task::Classify),
            &["0 and 1 in column cat", "`x` in column name on line 2"],
        ),
        (&["price"], Some(Task::Regression), &["cheap", "line 4"]),
        (&["name"], None, &["line 4"]),
    ] {
        assert_says(&read(table, columns, task).unwrap_err(), words);
    }
    assert_says(
        &read("a.bmp,cat\nb.bmp,dog\n", &["label"], None).unwrap_err(),
        &["add a first line"],
    );
    for (cells, word) in [
        (
            ["1.0,-1.0", "-1.0,1.0", "0.0,0.0"],
            "`-1.0` in column cat on line 3",
        ),
        (["1,NA", "NA,1", "0,1"], "`NA` in column cat on line 3"),
        (["0,1", "1,0", "0,0"], "0 columns with a 1 on line 4"),
    ] {
        let table = format!(
            "path,cat,dog\na.bmp,{}\nb.bmp,{}\nc.bmp,{}\n",
            cells[0], cells[1], cells[2]
        );
        assert_says(&read(&table, &["cat", "dog"], None).unwrap_err(), &[word]);
    }
    assert_says(
        &read("path,label\na.bmp,x\n", &["path"], None).unwrap_err(),
        &["image paths", "\"path\""],
    );
    let root = home(&["a.bmp"], "path,label,dog\na.bmp,x,y\n");
    let grouped = labels(&["dog"]).with_group_column("dog".to_owned());
    let error = Splits::open_with(root.path().join("list.csv"), &grouped)
        .unwrap_err()
        .to_string();
    assert_says(&error, &["\"dog\"", "it has the labels"]);
    let marked = "path,cat,dog\na.bmp,1,x\nb.bmp,0,1\nc.bmp,0,1\n";
    let error = read(marked, &["cat", "dog"], Some(Task::MultiLabel)).unwrap_err();
    assert_says(&error, &["`x` in column dog on line 2"]);
}

#[test]
fn class_folders_have_no_columns_but_may_validate_a_table() {
    let root = home(
        &["a.bmp", "b.bmp", "c.bmp"],
        "path,site,sex\na.bmp,back,f\nb.bmp,face,m\nc.bmp,back,f\n",
    );
    let folders = tempdir().unwrap();
    write_images(folders.path(), &["back/d.bmp", "face/e.bmp"]);
    let error = Splits::open_with(folders.path(), &labels(&["site"])).unwrap_err();
    assert!(matches!(error, DataError::LabelColumn { .. }));
    assert_says(&error.to_string(), &["\"site\"", "class folders"]);

    let site = labels(&["site"]);
    let splits = Splits::open_with(root.path().join("list.csv"), &site).unwrap();
    let validated = splits
        .clone()
        .with_validation(folders.path(), &site.label_columns)
        .unwrap();
    let val = rows(folders.path(), &**validated.val.as_ref().unwrap());
    assert_eq!(val, "back/d.bmp back, face/e.bmp face");
    // A table with the same columns is read by the same ones.
    write(folders.path(), "back/later.csv", b"path,site,sex\nd.bmp,face,f\n");
    let validated = splits
        .with_validation(folders.path().join("back/later.csv"), &site.label_columns)
        .unwrap();
    assert_eq!(
        rows(folders.path(), &**validated.val.as_ref().unwrap()),
        "back/d.bmp face"
    );
}

#[test]
fn the_other_columns_are_reported_and_evaluation_reads_the_same_ones() {
    let root = home(&["a.bmp", "b.bmp", "c.bmp"], PATIENTS);
    let path = root.path().join("list.csv");
    let splits = Splits::open_with(&path, &labels(&["site"]).with_group_column("sex".to_owned())).unwrap();
    let ignored = notices(&splits.reading.notices, false).join("\n");
    assert_says(&ignored, &["label", "age", "marks"]);
    assert!(!ignored.contains("site") && !ignored.contains("sex"), "{ignored}");
    let options = EvaluationOptions::default().with_label_columns(["site".to_owned()]);
    let images = Evaluation::open(&path, &options).unwrap().images;
    assert_eq!(rows(root.path(), &*images), "a.bmp back, b.bmp face, c.bmp back");
    let checked = Splits::open_all(&path, &labels(&["sex"]).with_task(Task::Classify)).unwrap();
    assert_eq!(checked.train.classes(), ["f", "m"]);
}

#[test]
fn a_column_may_be_blank_at_first_and_test_images_may_have_no_label() {
    let names: Vec<String> = (0..210).map(|number| format!("{number}.bmp")).collect();
    let root = tempdir().unwrap();
    for some in names.chunks(70) {
        write_images(root.path(), &some.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let rows: Vec<String> = names
        .iter()
        .map(|name| format!("{name},{}", if name == "209.bmp" { "Edema" } else { "" }))
        .collect();
    write(
        root.path(),
        "list.csv",
        format!("path,findings\n{}\n", rows.join("\n")).as_bytes(),
    );
    let options = labels(&["findings"]).with_task(Task::MultiLabel);
    let splits = Splits::open_with(root.path().join("list.csv"), &options).unwrap();
    assert_eq!(splits.train.classes(), ["Edema"]);

    let table = "path,cat,dog,split\na.bmp,1,0,train\nb.bmp,0,1,train\nc.bmp,,,test\n";
    assert_says(&read(table, &["cat", "dog"], None).unwrap_err(), &["line 4"]);
    let table = table.replace(",,,test", ",1,0,val");
    let classes = "classify: a.bmp cat, b.bmp dog";
    assert_eq!(read(&table, &["cat", "dog"], None).as_deref(), Ok(classes));
}

#[test]
fn a_table_in_any_part_of_a_folder_has_columns() {
    let root = tempdir().unwrap();
    for part in ["train", "test"] {
        write_images(root.path(), &[&format!("{part}/a.bmp"), &format!("{part}/b.bmp")]);
        let table = b"file_name,label,dx\na.bmp,x,nv\nb.bmp,y,mel\n";
        write(root.path(), format!("{part}/metadata.csv"), table);
    }
    let splits = Splits::open_with(root.path(), &labels(&["dx"])).unwrap();
    assert_eq!(splits.val.unwrap().classes(), ["mel", "nv"]);
    std::fs::remove_dir_all(root.path().join("train")).unwrap();
    let dx = ["dx".to_owned()];
    let options = EvaluationOptions::default().with_task(Task::Classify);
    let evaluation = Evaluation::open_like(root.path(), &options, &dx).unwrap();
    assert_eq!(evaluation.images.classes(), ["mel", "nv"]);
    let opened = Evaluation::open(root.path(), &options.clone().with_label_columns(dx)).unwrap();
    assert_eq!(opened.images.classes(), ["mel", "nv"]);
    // Without the column, the table is read by what it tells, which is said.
    let evaluation = Evaluation::open_like(root.path(), &options, &["grade".to_owned()]).unwrap();
    assert_eq!(evaluation.images.classes(), ["x", "y"]);
    assert_says(
        &notices(&evaluation.reading.notices, true).join("\n"),
        &["no column \"grade\""],
    );
}

#[test]
fn the_keys_of_json_lines_are_columns_too() {
    let root = tempdir().unwrap();
    write_images(root.path(), &["a.bmp", "b.bmp"]);
    let lines = "{\"file\": \"a.bmp\", \"label\": \"x\", \"seen\": [\"bird\", \"tree\"]}\n\
                 {\"file\": \"b.bmp\", \"label\": \"y\", \"seen\": [\"tree\"]}\n";
    write(root.path(), "list.jsonl", lines.as_bytes());
    let splits = Splits::open_with(root.path().join("list.jsonl"), &labels(&["seen"])).unwrap();
    assert_eq!(
        targets(root.path(), &*splits.train),
        "a.bmp bird+tree, b.bmp tree"
    );
}

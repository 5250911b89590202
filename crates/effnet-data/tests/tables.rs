//! CSV files and JSON Lines as people and programs write them.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod images;

use std::path::Path;

use effnet_architecture::Task;
use effnet_data::{DataError, Dataset, Evaluation, HoldOut, Notice, Splits, support};
use images::{write, write_images};
use tempfile::{TempDir, tempdir};

/// Creates images and a table `list.csv`.
fn home(images: &[&str], table: &str) -> TempDir {
    let root = tempdir().unwrap();
    write_images(root.path(), images);
    write(root.path(), "list.csv", table.as_bytes());
    root
}

fn open(root: &TempDir) -> Splits {
    Splits::open(root.path().join("list.csv")).unwrap()
}

fn refused(root: &TempDir, words: &[&str]) {
    let error = Splits::open(root.path().join("list.csv"))
        .unwrap_err()
        .to_string();
    for word in words {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
}

/// Lists the images with their labels: `a.bmp cat, b.bmp dog`.
fn rows(root: &Path, dataset: &dyn Dataset) -> String {
    let root = format!("{}/", root.display());
    let row = |index: usize| {
        let label = &dataset.classes()[dataset.label(index)];
        format!("{} {label}", dataset.name(index).replace(&root, ""))
    };
    (0..dataset.len()).map(row).collect::<Vec<_>>().join(", ")
}

fn notices(notices: &[Notice], warnings: bool) -> Vec<String> {
    let notices = notices.iter().filter(|notice| notice.is_warning() == warnings);
    notices.map(ToString::to_string).collect()
}

#[test]
fn headers_are_understood_as_people_write_them() {
    for header in [
        "path,label",
        "Image,Id",
        "file_name,label",
        "filename,target",
        "filepath,class",
        "filepaths,labels",
        "id,label",
        "image_id,label",
        "image_path,label",
        "ImageId,ClassId",
        "id,breed",
        "id_code,diagnosis",
        "image,level",
        "Image Path,Class Name",
        "img,category",
        "fname,labels",
        "name,label",
        "file;label",
        "path\tlabel",
        "Filename|Label",
        "photo,what it shows",
        "where,what",
    ] {
        let delimiter = header.chars().find(|c| ",;\t|".contains(*c)).unwrap();
        for (names, ending) in [
            (["x/1.bmp", "2.bmp"], "\n"),
            (["x/1", "2"], "\r\n"),
            (["x\\1.bmp", ".\\2"], "\n"),
        ] {
            let table = format!(
                "{header}{ending}{}{delimiter}cat{ending}{}{delimiter}dog",
                names[0], names[1]
            );
            let root = home(&["x/1.bmp", "2.bmp"], &table);
            let splits = open(&root);
            let found = rows(root.path(), &*splits.train).replace("./", "");
            assert_eq!(found, "x/1.bmp cat, 2.bmp dog", "{table}");
            assert_eq!(splits.reading.notices, [], "{table}");
        }
    }
}

#[test]
fn tables_of_spreadsheets_and_programs_are_read() {
    for table in [
        "\u{feff}path;label\n1.bmp;cat\n2.bmp;dog\n",
        "sep=;\npath;label\n1.bmp;cat\n2.bmp;dog\n",
        // With an index, as written by pandas.
        ",path,label\n0,1.bmp,cat\n1,2.bmp,dog\n",
        "Unnamed: 0,path,label\n0,1.bmp,cat\n1,2.bmp,dog\n",
        // A class number next to the name, and the columns in a different order.
        "class id,filepaths,labels\n0,1.bmp,cat\n1,2.bmp,dog\n",
        "label,path\ncat,1.bmp\ndog,2.bmp\n",
        // Without a header, in either order.
        "1.bmp,cat\n2.bmp,dog\n",
        "cat,1.bmp\ndog,2.bmp\n",
        "1,cat\n2,dog\n",
        // A comma in a name.
        "path,label\n\"1.bmp\",\"cat\"\n2.bmp,dog\n",
    ] {
        let root = home(&["1.bmp", "2.bmp"], table);
        assert_eq!(
            rows(root.path(), &*open(&root).train),
            "1.bmp cat, 2.bmp dog",
            "{table}"
        );
    }
}

#[test]
fn json_lines_are_read() {
    let root = home(&["1.bmp", "2.bmp"], "");
    let lines = "{\"file_name\": \"1.bmp\", \"label\": \"cat\", \"width\": 5}\n\n{\"label\": 7, \"file_name\": \"2.bmp\"}\n";
    write(root.path(), "list.jsonl", lines.as_bytes());
    let splits = Splits::open(root.path().join("list.jsonl")).unwrap();
    assert_eq!(rows(root.path(), &*splits.train), "1.bmp cat, 2.bmp 7");
    assert_eq!(
        notices(&splits.reading.notices, false),
        ["ignored columns: width"]
    );
    write(
        root.path(),
        "list.jsonl",
        b"{\"file_name\": \"1.bmp\", \"label\": \"cat\"}\n[1]\n",
    );
    let error = Splits::open(root.path().join("list.jsonl"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("on line 2, which is not a JSON object"), "{error}");
}

#[test]
fn images_are_found_in_the_folders_that_competitions_use() {
    for (images, name, table) in [
        (
            &["train/00a.bmp", "train/00b.bmp", "test/00c.bmp"][..],
            "labels.csv",
            "id,breed\n00a,cat\n00b,dog\n",
        ),
        (
            &[
                "train_images/00a.bmp",
                "train_images/00b.bmp",
                "test_images/00a.bmp",
            ],
            "train.csv",
            "image_id,label\n00a.bmp,cat\n00b.bmp,dog\n",
        ),
        (
            &["images/00a.bmp", "images/00b.bmp"],
            "train.csv",
            "image_id,cat,dog\n00a,1,0\n00b,0,1\n",
        ),
        (
            &["train/deep/00a.bmp", "train/deep/00b.bmp", "test/deep/00a.bmp"],
            "labels.csv",
            "id,label\n00a,cat\n00b,dog\n",
        ),
        (
            &["part_1/00a.bmp", "part_2/00b.bmp"],
            "metadata.csv",
            "lesion_id,image_id,dx,age\n1,00a,cat,3\n2,00b,dog,4\n",
        ),
        (
            &["Training_Input/Input/00a.bmp", "Training_Input/Input/00b.bmp"],
            "Training_GroundTruth.csv",
            "image,cat,dog\n00a,1.0,0.0\n00b,0.0,1.0\n",
        ),
    ] {
        let root = tempdir().unwrap();
        write_images(root.path(), images);
        write(root.path(), name, table.as_bytes());
        let train = Splits::open(root.path().join(name)).unwrap().train;
        assert_eq!(
            rows(root.path(), &*train),
            format!("{} cat, {} dog", images[0], images[1]),
            "{table}"
        );
    }
}

#[test]
fn a_name_that_fits_several_images_is_refused() {
    let root = home(
        &["cat/0.bmp", "dog/0.bmp", "cat/1.bmp"],
        "path,label\n1.bmp,cat\n0.bmp,dog\n",
    );
    refused(&root, &["`0.bmp` on line 3", "cat/0.bmp", "dog/0.bmp"]);
    let root = home(&["0.bmp", "0.gif", "1.bmp"], "path,label\n1,cat\n0,dog\n");
    refused(&root, &["`0` on line 3", "0.bmp", "0.gif"]);
    // The full name is unambiguous.
    let root = home(
        &["0.bmp", "0.bmp.gif", "1.bmp"],
        "path,label\n1,cat\n.\\0.bmp,dog\n",
    );
    assert_eq!(open(&root).train.len(), 2);
}

#[test]
fn a_column_says_which_part_a_row_belongs_to() {
    for (header, train, val) in [
        ("split", "train", "val"),
        ("Split", "Training", "Validation"),
        ("set", "train", "test"),
        ("data set", "train", "valid"),
        ("subset", "TRAIN", "dev"),
        ("is_valid", "False", "True"),
        ("is_valid", "0", "1"),
        ("is_train", "1", "0"),
        ("is_test", "no", "yes"),
        ("Usage", "Training", "Testing"),
    ] {
        let table = format!("path,label,{header}\n1.bmp,cat,{train}\n2.bmp,dog,{train}\n3.bmp,dog,{val}\n");
        let root = home(&["1.bmp", "2.bmp", "3.bmp"], &table);
        let splits = open(&root);
        assert_eq!(
            rows(root.path(), &*splits.train),
            "1.bmp cat, 2.bmp dog",
            "{table}"
        );
        assert_eq!(rows(root.path(), &*splits.val.unwrap()), "3.bmp dog", "{table}");
        assert_eq!(splits.reading.train.unwrap(), format!("{header} = {train}"));
        assert_eq!(splits.reading.val.unwrap(), format!("{header} = {val}"));
        let evaluation = Evaluation::open(root.path().join("list.csv"), None).unwrap();
        assert_eq!(rows(root.path(), &*evaluation.images), "3.bmp dog");
    }
    // Without a header.
    let root = home(
        &["1.bmp", "2.bmp", "3.bmp"],
        "1.bmp,cat,train\n2.bmp,dog,train\n3.bmp,dog,val\n",
    );
    assert_eq!(open(&root).val.unwrap().len(), 1);
}

#[test]
fn parts_of_a_table_are_used_as_folders_are() {
    let images = ["1.bmp", "2.bmp", "3.bmp", "4.bmp"];
    let root = home(
        &images,
        "path,label,split\n1.bmp,a,train\n2.bmp,b,train\n3.bmp,a,val\n4.bmp,b,test\n",
    );
    let splits = open(&root);
    assert_eq!(rows(root.path(), &*splits.val.unwrap()), "3.bmp a");
    assert_eq!(
        notices(&splits.reading.notices, false),
        ["ignored: split = test (split = val is used for validation)"]
    );
    // Test images often have no labels.
    let root = home(
        &images,
        "path,label,split\n1.bmp,a,train\n2.bmp,b,train\n3.bmp,,test\n4.bmp,,test\n",
    );
    let splits = open(&root);
    assert!(splits.val.is_none(), "{splits:?}");
    assert_eq!(
        notices(&splits.reading.notices, false),
        ["ignored: split = test (rows without a label: 2)"]
    );
    // All rows for training.
    let root = home(&images, "path,label,split\n1.bmp,a,train\n2.bmp,b,train\n");
    let splits = open(&root);
    assert!(
        splits.val.is_none() && splits.reading.train.is_none(),
        "{splits:?}"
    );
    refused(
        &home(&images, "path,label,split\n1.bmp,a,val\n2.bmp,b,val\n"),
        &["found only split = val"],
    );
    refused(
        &home(&images, "path,label,split\n1.bmp,a,train\n2.bmp,b,fold 2\n"),
        &["`fold 2` in column split"],
    );
    refused(
        &home(
            &images,
            "path,label,split\n1.bmp,a,train\n2.bmp,b,train\n3.bmp,c,val\n",
        ),
        &["found c"],
    );
    // A column whose name only sounds like one of a part.
    let root = home(&images, "path,label,dataset\n1.bmp,a,flickr\n2.bmp,b,own\n");
    assert_eq!(
        notices(&open(&root).reading.notices, false),
        ["ignored columns: dataset"]
    );
}

#[test]
fn one_hot_columns_are_classes() {
    let images = ["1.bmp", "2.bmp", "3.bmp"];
    for table in [
        "image,cat,dog\n1.bmp,1,0\n2.bmp,0,1\n3.bmp,1,0\n",
        "filename, cat, dog\n1.bmp, 1, 0\n2.bmp, 0, 1\n3.bmp, 1, 0\n",
        "image,cat,dog,UNK\n1,1.0,0.0,0.0\n2,0.0,1.0,0.0\n3,1.0,0.0,0.0\n",
    ] {
        let root = home(&images, table);
        let splits = open(&root);
        assert_eq!(splits.train.classes(), ["cat", "dog"], "{table}");
        assert_eq!(
            rows(root.path(), &*splits.train),
            "1.bmp cat, 2.bmp dog, 3.bmp cat",
            "{table}"
        );
        let ignored = notices(&splits.reading.notices, false);
        assert_eq!(
            ignored.iter().any(|notice| notice.contains("UNK")),
            table.contains("UNK"),
            "{ignored:?}"
        );
    }
    refused(
        &home(&images, "1.bmp,1,0\n2.bmp,0,1\n3.bmp,1,0\n"),
        &["no names", "image,cat,dog"],
    );
    refused(
        &home(&images, "image,cat,dog\n1.bmp,1,0\n2.bmp,1,1\n"),
        &["line 3", "one class per image"],
    );
    refused(
        &home(&images, "image,cat,dog,owl\n1.bmp,1,0,0\n2.bmp,0,0,0\n"),
        &["a column of labels", "cat, dog, owl"],
    );
}

#[test]
fn columns_that_are_not_used_are_named() {
    let root = home(
        &["1.bmp", "2.bmp"],
        "path,label,width,author\n1.bmp,cat,5,me\n2.bmp,dog,6,you\n",
    );
    assert_eq!(
        notices(&open(&root).reading.notices, false),
        ["ignored columns: width, author"]
    );
    let root = home(&["1.bmp", "2.bmp"], "1.bmp,cat,5\n2.bmp,dog,6\n");
    assert_eq!(
        notices(&open(&root).reading.notices, false),
        ["ignored columns: column 3"]
    );
}

#[test]
fn columns_that_are_unclear_are_refused_with_their_names() {
    let images = ["1.bmp", "2.bmp"];
    refused(
        &home(&images, "path,weight,height\n1.bmp,3,4\n2.bmp,5,6\n"),
        &["a column of labels", "path, weight, height"],
    );
    refused(
        &home(&images, "file_name,text\n1.bmp,a cat\n2.bmp,a dog\n"),
        &["a column of labels", "file_name, text"],
    );
}

#[test]
fn repeated_rows_count_once_and_contradictions_are_warned_of() {
    let images = ["1.bmp", "2.bmp"];
    let root = home(
        &images,
        "path,label\n1.bmp,cat\n2.bmp,dog\n1.bmp,cat\n./2.bmp,dog\n",
    );
    let splits = open(&root);
    assert_eq!(rows(root.path(), &*splits.train), "1.bmp cat, 2.bmp dog");
    let warnings = notices(&splits.reading.notices, true);
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("2 rows of the CSV file repeat an image"),
        "{warnings:?}"
    );

    let root = home(&images, "path,label\n1.bmp,cat\n1.bmp,pet\n2.bmp,dog\n");
    let splits = open(&root);
    assert_eq!(
        rows(root.path(), &*splits.train),
        "1.bmp cat, 1.bmp pet, 2.bmp dog"
    );
    let warnings = notices(&splits.reading.notices, true);
    assert!(
        warnings[0].starts_with("1 image is listed with more than one label"),
        "{warnings:?}"
    );
    assert!(warnings[0].contains("1.bmp: cat, pet"), "{warnings:?}");

    let root = home(
        &images,
        "path,label,split\n1.bmp,cat,train\n2.bmp,dog,train\n2.bmp,dog,val\n",
    );
    let warnings = notices(&open(&root).reading.notices, true);
    assert!(
        warnings.len() == 1 && warnings[0].contains("for training and for validation"),
        "{warnings:?}"
    );
}

#[test]
fn several_labels_in_one_field_are_warned_of() {
    for table in [
        "path,labels\n1.bmp,cat\n2.bmp,cat dog\n3.bmp,dog\n",
        "path,labels\n1.bmp,cat\n2.bmp,\"cat,dog\"\n3.bmp,dog\n",
        "id,attribute_ids\n1,3 15\n2,4\n3,15 7\n",
    ] {
        let root = home(&["1.bmp", "2.bmp", "3.bmp"], table);
        let warnings = notices(&open(&root).reading.notices, true);
        assert!(
            warnings.len() == 1 && warnings[0].contains("several labels in one"),
            "{table}: {warnings:?}"
        );
    }
    let root = home(&["1.bmp", "2.bmp"], "path,label\n1.bmp,polar bear\n2.bmp,bear\n");
    assert_eq!(open(&root).reading.notices, []);
}

#[test]
fn tables_that_come_with_a_folder_of_images_are_used() {
    let table = "file_name,label\n0.bmp,cat\n1.bmp,dog\n";
    let root = tempdir().unwrap();
    for part in ["train", "test"] {
        write_images(root.path(), &[&format!("{part}/0.bmp"), &format!("{part}/1.bmp")]);
        write(root.path(), format!("{part}/metadata.csv"), table.as_bytes());
    }
    let splits = Splits::open(root.path()).unwrap();
    assert_eq!(
        rows(root.path(), &*splits.train),
        "train/0.bmp cat, train/1.bmp dog"
    );
    assert_eq!(
        rows(root.path(), &*splits.val.unwrap()),
        "test/0.bmp cat, test/1.bmp dog"
    );
    let splits = Splits::open(root.path().join("train")).unwrap();
    assert_eq!(splits.train.classes(), ["cat", "dog"]);
}

#[test]
fn texts_that_are_no_tables_are_refused() {
    let root = home(&["1.bmp"], "");
    let utf16: Vec<u8> = "\u{feff}path,label\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    write(root.path(), "list.csv", &utf16);
    refused(&root, &["UTF-16"]);
    write(root.path(), "list.csv", &vec![b'x'; 3 << 20]);
    refused(&root, &["cannot be read"]);
    // A message quotes only a little of a file.
    write(
        root.path(),
        "list.csv",
        format!("path,label\n{},\n", "x".repeat(9000)).as_bytes(),
    );
    let error = Splits::open(root.path().join("list.csv"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 2") && error.len() < 500, "{error}");
    let labels: Vec<String> = (0..200).map(|label| format!("1.bmp,label {label}\n")).collect();
    let labels = labels.concat();
    write(
        root.path(),
        "list.csv",
        format!("path,label\n{labels}").as_bytes(),
    );
    refused(&root, &["more than 100 labels"]);
}

/// Lists the images with the names and values of their targets: `a.bmp cat+dog`, `a.bmp price=1.5`.
fn targets(root: &Path, dataset: &dyn Dataset) -> String {
    let root = format!("{}/", root.display());
    let classes = dataset.classes();
    let row = |index: usize| {
        let mut row = vec![0.0; classes.len()];
        dataset.values(index, &mut row);
        let named = classes.iter().zip(&row);
        let texts: Vec<String> = match dataset.task() {
            Task::Regression => named.map(|(name, value)| format!("{name}={value}")).collect(),
            _ => named
                .filter(|(_, value)| **value == 1.0)
                .map(|(name, _)| name.clone())
                .collect(),
        };
        format!("{} {}", dataset.name(index).replace(&root, ""), texts.join("+"))
    };
    (0..dataset.len()).map(row).collect::<Vec<_>>().join(", ")
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
    let error = Evaluation::open_for(&path, Some(&known), Some(Task::Regression)).unwrap_err();
    assert!(error.to_string().contains("cost, size"), "{error}");
    let evaluation = Evaluation::open_for(&path, Some(&known[..1]), Some(Task::Regression)).unwrap();
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

/// The groups of the images: `a.bmp 0, b.bmp 1`.
fn groups(root: &TempDir, dataset: &dyn Dataset) -> String {
    let root = format!("{}/", root.path().display());
    let group = |index: usize| {
        let group = dataset
            .group(index)
            .map_or("-".to_owned(), |group| group.to_string());
        format!("{} {group}", dataset.name(index).replace(&root, ""))
    };
    (0..dataset.len()).map(group).collect::<Vec<_>>().join(", ")
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
        let splits = Splits::open_grouped(&path, None, Some("type")).unwrap();
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
    let splits = Splits::open_grouped(root.path(), None, Some("patient")).unwrap();
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
        let opened = Splits::open_grouped(root.path().join("list.csv"), None, Some("patient"));
        let error = opened.unwrap_err().to_string();
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
    }
    let root = tempdir().unwrap();
    write_images(root.path(), &["cat/a.bmp", "dog/b.bmp"]);
    let error = Splits::open_grouped(root.path(), None, Some("patient"))
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
    let splits = Splits::open_grouped(root.path().join("list.csv"), None, Some("patient")).unwrap();
    let splits = splits.hold_out(HoldOut::Fold { fold: 2, folds: 3 }, 5).unwrap();
    let val = splits.val.unwrap();
    assert_eq!((support(&splits.train), support(&val)), (vec![8, 8], vec![4, 4]));
    for index in 0..val.len() {
        assert!(!(0..splits.train.len()).any(|other| splits.train.group(other) == val.group(index)));
    }
}

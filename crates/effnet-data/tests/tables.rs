//! CSV files and JSON Lines as people and programs write them.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod images;
mod listed;

use effnet_data::{Evaluation, EvaluationOptions, Splits};
use images::{write, write_images};
use listed::{home, notices, open, refused, rows};
use tempfile::tempdir;

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
        let evaluation =
            Evaluation::open(root.path().join("list.csv"), &EvaluationOptions::default()).unwrap();
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

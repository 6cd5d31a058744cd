//! How rows are cut.

use super::*;

#[test]
fn pieces_are_powers_of_two_that_hold_each_row_once_in_order() {
    for n_rows in [0, 1, 2, 3, 15, 16, 17, 31, 127, 300, 511, 512, 1_000, 1_023] {
        let rows: Vec<usize> = (0..n_rows).collect();
        for rows_max in [1, 16, 128, 512] {
            let cut: Vec<&[usize]> = pieces(&rows, rows_max).collect();
            assert_eq!(cut.concat(), rows);
            assert!(cut.iter().all(|piece| piece.len().is_power_of_two()));
            let n_small = cut.iter().filter(|piece| piece.len() < rows_max).count();
            assert_eq!(cut.len() - n_small, n_rows / rows_max);
            assert_eq!(n_small, (n_rows % rows_max).count_ones() as usize);
        }
    }
}

#[test]
fn rows_of_a_statement_are_fewer_the_wider_they_are() {
    for (n_columns, in_file, on_server) in
        [(1, 128, 512), (3, 128, 512), (16, 64, 512), (17, 32, 256), (66, 16, 128), (9_999, 1, 1)]
    {
        assert_eq!(rows_max(Backend::Sqlite, n_columns), in_file, "{n_columns} columns");
        assert_eq!(rows_max(Backend::Mysql, n_columns), on_server, "{n_columns} columns");
    }
}

#[test]
fn marks_are_those_of_each_row() {
    assert_eq!(marks(1, 1), "(?)");
    assert_eq!(marks(2, 3), "(?, ?, ?), (?, ?, ?)");
}

#[test]
fn rows_are_padded_with_the_last_one_up_to_a_power_of_two() {
    assert_eq!(padded::<u32>(&[7]).collect::<Vec<_>>(), [&7]);
    assert_eq!(padded(&[1, 2, 3, 4, 5]).collect::<Vec<_>>(), [&1, &2, &3, &4, &5, &5, &5, &5]);
    assert_eq!((look_max(Backend::Mysql, 1), look_max(Backend::Mysql, 3)), (512, 256));
}

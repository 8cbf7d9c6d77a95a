package ledger_test

const crashDir = "PONTAGE_TEST_CRASH_DIR"

func crashChild(string) {}

// other: what a Python process of the matrix executes in its place. No Python: ends with 7.
int main(void) { return 7; }

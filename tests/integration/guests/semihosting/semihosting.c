/*
 * A program on semihosting alone. What it does first, it does as C libraries
 * do when they begin: it opens :tt three times, looks at the features, and asks
 * for its command line. Its first argument says what it does then:
 *
 *   files    uses a file in every way that there is
 *   escape   tries to get at files that are not for it
 *   input    copies its input to its output
 *   line     reads one line with SYS_READC
 *   time     looks at clocks
 *   hostile  gives parameters that make no sense
 *   exit N   ends with status N
 *   extended ends with SYS_EXIT_EXTENDED
 *   abort    stops for a reason that is no exit
 */

enum {
    SYS_OPEN = 1, SYS_CLOSE, SYS_WRITEC, SYS_WRITE0, SYS_WRITE, SYS_READ, SYS_READC, SYS_ISERROR, SYS_ISTTY, SYS_SEEK,
    SYS_FLEN = 12, SYS_TMPNAM, SYS_REMOVE, SYS_RENAME, SYS_CLOCK, SYS_TIME, SYS_SYSTEM, SYS_ERRNO,
    SYS_GET_CMDLINE = 21, SYS_HEAPINFO, SYS_EXIT = 24, SYS_EXIT_EXTENDED = 32, SYS_ELAPSED = 48, SYS_TICKFREQ
};

enum { R = 0, RPLUS = 2, W = 4, WPLUS = 6, A = 8 };

typedef unsigned long word;

extern long call(unsigned operation, const volatile void *parameter);
extern word heap[4];

static long out, err, in;

static word length(const char *text)
{
    word n = 0;
    while (text[n])
        n++;
    return n;
}

static int same(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return *a == *b;
}

static long open_file(const char *name, word mode)
{
    volatile word block[] = {(word)name, mode, length(name)};
    return call(SYS_OPEN, block);
}

static long close_file(long handle)
{
    volatile word block[] = {(word)handle};
    return call(SYS_CLOSE, block);
}

static long write_file(long handle, const void *data, word size)
{
    volatile word block[] = {(word)handle, (word)data, size};
    return call(SYS_WRITE, block);
}

static long read_file(long handle, void *data, word size)
{
    volatile word block[] = {(word)handle, (word)data, size};
    return call(SYS_READ, block);
}

static long of_handle(unsigned operation, long handle)
{
    volatile word block[] = {(word)handle};
    return call(operation, block);
}

static long seek_file(long handle, word position)
{
    volatile word block[] = {(word)handle, position};
    return call(SYS_SEEK, block);
}

static long remove_file(const char *name)
{
    volatile word block[] = {(word)name, length(name)};
    return call(SYS_REMOVE, block);
}

static long rename_file(const char *old, const char *new)
{
    volatile word block[] = {(word)old, length(old), (word)new, length(new)};
    return call(SYS_RENAME, block);
}

static long last_error(void)
{
    return call(SYS_ERRNO, 0);
}

static void say(const char *text)
{
    write_file(out, text, length(text));
}

static void number(long value)
{
    char digits[24], *at = digits + sizeof digits;
    word left = value < 0 ? -(word)value : (word)value;
    *--at = 0;
    do
        *--at = '0' + left % 10;
    while (left /= 10);
    if (value < 0)
        *--at = '-';
    say(at);
}

static void result(const char *what, long value)
{
    say(what);
    say(" ");
    number(value);
    say("\n");
}

/* A result, and the error where it says that there is one. */
static void outcome(const char *what, long value)
{
    say(what);
    say(" ");
    number(value);
    if (value < 0) {
        say(" errno ");
        number(last_error());
    }
    say("\n");
}

static void files(void)
{
    char data[32];
    long file = open_file("sub/file.txt", WPLUS);
    outcome("open w+", file > 0 ? 0 : file);
    result("isatty", of_handle(SYS_ISTTY, file));
    result("write", write_file(file, "0123456789", 10));
    result("length", of_handle(SYS_FLEN, file));
    outcome("seek", seek_file(file, 4));
    result("read", read_file(file, data, 3));
    write_file(out, data, 3);
    say("\n");
    result("read more than there is", read_file(file, data, sizeof data));
    result("read at the end", read_file(file, data, sizeof data));
    outcome("close", close_file(file));
    outcome("close again", close_file(file));
    file = open_file("sub/file.txt", A);
    result("append", write_file(file, "abc", 3));
    result("length", of_handle(SYS_FLEN, file));
    result("read what is for writing", read_file(file, data, 3));
    close_file(file);
    file = open_file("sub/file.txt", R);
    result("write what is for reading", write_file(file, "x", 1));
    close_file(file);
    outcome("rename", rename_file("sub/file.txt", "renamed"));
    outcome("open what is renamed", open_file("sub/file.txt", R));
    outcome("remove", remove_file("renamed"));
    outcome("remove again", remove_file("renamed"));
}

static void escape(void)
{
    static const char *const names[] = {
        "../outside", "sub/../../outside", "/etc/passwd", "link", "linked/outside", "fifo", "sub", ".", "",
    };
    for (unsigned n = 0; n < sizeof names / sizeof *names; n++)
        outcome(names[n], open_file(names[n], R));
    outcome("create", open_file("../new", W));
    outcome("remove", remove_file("../outside"));
    outcome("remove a link", remove_file("link"));
    outcome("rename from", rename_file("../outside", "inside"));
    outcome("rename to", rename_file("inside", "../moved"));
    volatile word system[] = {(word) "id", 2};
    outcome("system", call(SYS_SYSTEM, system));
}

static void input(void)
{
    char data[16];
    long left;
    while ((left = read_file(in, data, sizeof data)) < (long)sizeof data)
        write_file(out, data, sizeof data - left);
    say("the end\n");
}

static void line(void)
{
    char c;
    do {
        c = (char)call(SYS_READC, 0);
        call(SYS_WRITEC, &c);
    } while (c != '\n');
}

static void clocks(void)
{
    volatile word elapsed = 0, later = 0;
    result("frequency", call(SYS_TICKFREQ, 0));
    result("elapsed", call(SYS_ELAPSED, &elapsed));
    long begun = call(SYS_CLOCK, 0);
    while (call(SYS_CLOCK, 0) < begun + 3)
        continue;
    call(SYS_ELAPSED, &later);
    result("at least 20 ms", later - elapsed >= 20000000);
    result("time", call(SYS_TIME, 0));
}

static void hostile(void)
{
    char small[2];
    word *const nowhere = (word *)0x10;
    volatile word block[4] = {0};
    outcome("open without a block", call(SYS_OPEN, nowhere));
    block[0] = (word)nowhere, block[1] = R, block[2] = 8;
    outcome("open without a name", call(SYS_OPEN, block));
    block[0] = (word) "x", block[2] = ~0UL;
    outcome("open by a long name", call(SYS_OPEN, block));
    block[1] = 99, block[2] = 1;
    outcome("open in no mode", call(SYS_OPEN, block));
    block[1] = ~0UL;
    outcome("open in another mode", call(SYS_OPEN, block));
    result("write from nowhere", write_file(out, nowhere, 5));
    result("write to nothing", write_file(99, "x", 1));
    result("read to nowhere", read_file(open_file(":semihosting-features", R), nowhere, 5));
    outcome("the features to write", open_file(":semihosting-features", W));
    outcome("length of nothing", of_handle(SYS_FLEN, 0));
    outcome("is nothing a terminal", of_handle(SYS_ISTTY, 99));
    outcome("seek a terminal", seek_file(out, 1));
    outcome("seek far", seek_file(open_file(":semihosting-features", R), ~0UL));
    block[0] = (word)small, block[1] = sizeof small;
    outcome("a long command line", call(SYS_GET_CMDLINE, block));
    block[0] = (word)nowhere;
    outcome("the heap to nowhere", call(SYS_HEAPINFO, block));
    outcome("elapsed to nowhere", call(SYS_ELAPSED, nowhere));
    outcome("no operation", call(0x7f, block));
    long opened = 0;
    while (opened < 1000 && open_file(":tt", R) > 0)
        opened++;
    result("few enough are open", opened < 100);
    result("errno", last_error());
}

static long value_of(const char *text)
{
    long value = 0;
    while (*text >= '0' && *text <= '9')
        value = value * 10 + *text++ - '0';
    return value;
}

long main(void)
{
    static char command_line[256];
    char magic[8] = "";
    in = open_file(":tt", R);
    out = open_file(":tt", W);
    err = open_file(":tt", A);
    long features = open_file(":semihosting-features", R);
    if (read_file(features, magic, 5) || !same(magic, "SHFB\003") || of_handle(SYS_FLEN, features) != 5)
        say("no features\n");
    close_file(features);
    volatile word block[] = {(word)command_line, sizeof command_line};
    if (call(SYS_GET_CMDLINE, block) || block[1] != length(command_line))
        say("no command line\n");
    char *words[3] = {"", "", ""}, *at = command_line;
    for (unsigned n = 0; n < 3 && *at; n++) {
        words[n] = at;
        while (*at && *at != ' ')
            at++;
        if (*at)
            *at++ = 0;
    }
    char *what = words[1];
    if (same(what, "files"))
        files();
    else if (same(what, "escape"))
        escape();
    else if (same(what, "input"))
        input();
    else if (same(what, "line"))
        line();
    else if (same(what, "time"))
        clocks();
    else if (same(what, "hostile"))
        hostile();
    else if (same(what, "exit"))
        return value_of(words[2]);
    else if (same(what, "extended")) {
        block[0] = 0x20026, block[1] = 7;
        call(SYS_EXIT_EXTENDED, block);
    } else if (same(what, "abort")) {
        block[0] = 0x20023, block[1] = 0;
        call(SYS_EXIT, block);
    } else {
        call(SYS_WRITE0, "I am ");
        say(words[0]);
        say("\n");
        write_file(err, "and this is an error\n", 21);
        result("memory for a heap", heap[1] - heap[0] >= 0x100000 && heap[2] == heap[1] && heap[3] == heap[0]);
    }
    return 0;
}

/*
 * A program for a C library, with nothing of its own beneath it: the library's
 * start-up code and its semihosting do the rest. It prints its arguments, reads
 * a line, allocates memory, uses files as stdio does, looks at clocks, and ends
 * with the status that is its last argument.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifdef __PICOLIBC__
#include <semihost.h>

/* picolibc 1.8 has the operation, but not the function of the C standard. */
int rename(const char *old, const char *new)
{
    return sys_semihost_rename(old, new) ? -1 : 0;
}
#else
/* newlib calls this first. What follows uses SIMD registers, whose use is trapped after a reset. */
__attribute__((target("general-regs-only"))) void _cpu_init_hook(void)
{
    __asm__ volatile("msr cpacr_el1, %0\n\tisb" ::"r"(3UL << 20));
}

/* newlib calls these two; crti.o would have them, which is not newlib's. */
void _init(void)
{
}

void _fini(void)
{
}
#endif

static void say(const char *what, int right)
{
    printf("%s: %s\n", what, right ? "ok" : strerror(errno));
    errno = 0;
}

static void files(void)
{
    char text[32] = "";
    FILE *file = fopen("kept.txt", "w");
    say("open for writing", file != NULL);
    if (!file)
        return;
    say("print", fprintf(file, "%s %d\n", "one line,", 42) == 13);
    say("close", fclose(file) == 0);

    file = fopen("kept.txt", "a");
    say("append", fputs("and another\n", file) >= 0 && fclose(file) == 0);

    file = fopen("kept.txt", "r");
    say("seek to the end", fseek(file, 0, SEEK_END) == 0);
    printf("length %ld\n", ftell(file));
    rewind(file);
    say("read a line", fgets(text, sizeof text, file) != NULL);
    printf("%s", text);
    say("seek", fseek(file, 4, SEEK_SET) == 0);
    memset(text, 0, sizeof text);
    printf("read %d: ", (int)fread(text, 1, 4, file));
    printf("%s\n", text);
    say("close", fclose(file) == 0);

    file = fopen("moved.txt", "w+");
    say("write", fwrite("0123456789", 1, 10, file) == 10);
    say("overwrite", fseek(file, 3, SEEK_SET) == 0 && fputc('x', file) == 'x' && fseek(file, 0, SEEK_SET) == 0);
    memset(text, 0, sizeof text);
    printf("read %d: ", (int)fread(text, 1, sizeof text - 1, file));
    printf("%s, end %d\n", text, feof(file) != 0);
    say("close", fclose(file) == 0);
    say("rename", rename("moved.txt", "renamed.txt") == 0);
    say("open what was renamed", fopen("moved.txt", "r") != NULL);
    file = fopen("removed.txt", "w");
    say("close", fclose(file) == 0);
    say("remove", remove("removed.txt") == 0);
    say("remove again", remove("removed.txt") == 0);
}

int main(int count, char **arguments)
{
    char line[32] = "";
    for (int i = 0; i < count; i++)
        printf("argument %d: %s\n", i, arguments[i]);
    fprintf(stderr, "an error\n");
    say("read", fgets(line, sizeof line, stdin) != NULL);
    printf("input: %s", line);
    void *memory = malloc(100000);
    say("allocate", memory != NULL);
    free(memory);
    files();

    clock_t begin = clock();
    for (volatile int i = 0; i < 3000000; i++)
        ;
    printf("the clock went on: %d\n", clock() > begin);
    printf("time %ld\n", (long)time(NULL));
    return count > 1 ? atoi(arguments[count - 1]) : 0;
}

/* What both programs have in common: the arguments and the lines of bench/peers/src/lib.rs. */

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TOPIC "n"
#define KEEP_ALIVE_S 10
/* How long an attempt that the client does not repeat by itself is waited with. */
#define RETRY_S 1
/* How many publications a client may keep that have not been delivered. */
#define ROOM 4096

static struct timespec start;
static pthread_mutex_t printing = PTHREAD_MUTEX_INITIALIZER;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - start.tv_sec) + (double)(now.tv_nsec - start.tv_nsec) / 1e9;
}

/* Prints one line. */
static void say(const char *format, ...) {
    va_list arguments;
    pthread_mutex_lock(&printing);
    printf("%.6f ", seconds());
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
    pthread_mutex_unlock(&printing);
}

struct args {
    const char *host;
    int port;
    const char *id;
    long interval_ms;
    long lasting_s;
};

static struct args parse(int count, char **given) {
    struct args args;
    if (count != 6) {
        fprintf(stderr, "usage: %s HOST PORT CLIENT_ID INTERVAL_MS SECONDS\n", given[0]);
        exit(2);
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    args.host = given[1];
    args.port = atoi(given[2]);
    args.id = given[3];
    args.interval_ms = atol(given[4]);
    args.lasting_s = atol(given[5]);
    return args;
}

/* Waits for the next tick; says whether there is time for it. */
static bool tick(const struct args *args, long number) {
    long ms = args->interval_ms * (number - 1);
    struct timespec at = {start.tv_sec + ms / 1000, start.tv_nsec + ms % 1000 * 1000000};
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec += 1;
        at.tv_nsec -= 1000000000;
    }
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0) {
    }
    return seconds() < (double)args->lasting_s;
}

/* Which number an id of the client stands for. Ids come back before the function that gives them
 * has returned, or after it. */
static pthread_mutex_t numbers = PTHREAD_MUTEX_INITIALIZER;
static long number_of[0x10000];
static bool acked_early[0x10000];

static void accepted(int id, long number) {
    pthread_mutex_lock(&numbers);
    say("accepted %ld", number);
    if (acked_early[id & 0xffff]) {
        acked_early[id & 0xffff] = false;
        say("acked %ld", number);
    } else {
        number_of[id & 0xffff] = number;
    }
    pthread_mutex_unlock(&numbers);
}

static void acked(int id) {
    pthread_mutex_lock(&numbers);
    if (number_of[id & 0xffff] != 0) {
        say("acked %ld", number_of[id & 0xffff]);
        number_of[id & 0xffff] = 0;
    } else {
        acked_early[id & 0xffff] = true;
    }
    pthread_mutex_unlock(&numbers);
}

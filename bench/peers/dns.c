/* The least that a DNS check costs: one epoll loop, and for each server a connected socket that is kept.
 *
 *     dns FIRST-ADDRESS SERVERS PORT SECONDS
 *
 * Each of SERVERS addresses is asked for www.test every SECONDS until SIGTERM. Questions go out in batches, at most a
 * hundred a second, as the engine does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const double tick = 0.01;
static int loop;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static int connected(in_addr_t first, long number, int port) {
    struct sockaddr_in server = {AF_INET, htons(port), {htonl(ntohl(first) + number)}, {0}};
    struct epoll_event event = {EPOLLIN | EPOLLET, {0}};
    event.data.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (event.data.fd < 0 || connect(event.data.fd, (struct sockaddr *)&server, sizeof server) < 0) {
        perror("c: socket");
        exit(1);
    }
    epoll_ctl(loop, EPOLL_CTL_ADD, event.data.fd, &event);
    return event.data.fd;
}

static void hear(int fd) {
    unsigned char answer[512];
    const long length = recv(fd, answer, sizeof answer, 0);
    if (length < 12 || (answer[3] & 15) != 0)
        fprintf(stderr, "c: no answer with code 0\n");
}

int main(int count, char **arguments) {
    /* RFC 1035: number, recursion desired, one question; www.test A IN */
    unsigned char query[] = "\0\0\1\0\0\1\0\0\0\0\0\0\3www\4test\0\0\1\0\1";
    static struct epoll_event events[256];
    if (count != 5)
        return 2;
    const long servers = atol(arguments[2]);
    const double interval = atof(arguments[4]);
    int *sockets = calloc(servers, sizeof *sockets);
    loop = epoll_create1(EPOLL_CLOEXEC);
    for (long i = 0; i < servers; i++)
        sockets[i] = connected(inet_addr(arguments[1]), i, atoi(arguments[3]));
    const double started = now();
    for (long long asked = 0;;) {
        const long long due = (long long)((now() - started) / interval * servers);
        if (due - asked > servers)
            asked = due - servers;
        for (; asked < due; asked++) {
            query[0] = asked >> 8;
            query[1] = asked;
            send(sockets[asked % servers], query, sizeof query - 1, 0);
        }
        double wait = tick;
        if (servers / interval < 1600)
            wait = 16 * interval / servers < 0.1 ? 16 * interval / servers : 0.1;
        const double until = now() + wait;
        for (double left = wait; left > 0; left = until - now()) {
            const int ready = epoll_wait(loop, events, 256, (int)(left * 1000) + 1);
            for (int i = 0; i < ready; i++)
                hear(events[i].data.fd);
        }
    }
}

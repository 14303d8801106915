/* libmosquitto with its own thread, MQTT 3.1.1, and a session that the broker keeps. It reconnects
 * by itself; a first attempt that fails is repeated by the program. */

#include <mosquitto.h>
#include <string.h>

#include "common.h"

static void on_connect(struct mosquitto *client, void *context, int code) {
    (void)client, (void)context;
    if (code == 0) {
        say("connected");
    } else {
        say("lost %s", mosquitto_connack_string(code));
    }
}

static void on_disconnect(struct mosquitto *client, void *context, int code) {
    (void)client, (void)context;
    say("lost %s", mosquitto_strerror(code));
}

static void on_publish(struct mosquitto *client, void *context, int id) {
    (void)client, (void)context;
    acked(id);
}

int main(int count, char **given) {
    struct args args = parse(count, given);
    int major, minor, revision;
    mosquitto_lib_init();
    mosquitto_lib_version(&major, &minor, &revision);
    say("ready %d.%d.%d", major, minor, revision);
    struct mosquitto *client = mosquitto_new(args.id, false, NULL);
    if (client == NULL) {
        fprintf(stderr, "no memory\n");
        return 1;
    }
    mosquitto_connect_callback_set(client, on_connect);
    mosquitto_disconnect_callback_set(client, on_disconnect);
    mosquitto_publish_callback_set(client, on_publish);
    int code;
    bool begun = false;
    double attempt = 0;
    if (mosquitto_loop_start(client) != MOSQ_ERR_SUCCESS) {
        fprintf(stderr, "libmosquitto has no threads\n");
        return 1;
    }
    for (long number = 1; tick(&args, number); number++) {
        if (!begun && seconds() >= attempt) {
            code = mosquitto_connect_async(client, args.host, args.port, KEEP_ALIVE_S);
            begun = code == MOSQ_ERR_SUCCESS;
            attempt = seconds() + RETRY_S;
            if (!begun) {
                say("lost %s", mosquitto_strerror(code));
            }
        }
        char payload[24];
        int id;
        snprintf(payload, sizeof payload, "%ld", number);
        code = mosquitto_publish(client, &id, TOPIC, (int)strlen(payload), payload, 1, false);
        /* Without a connection it is kept all the same. */
        if (code == MOSQ_ERR_SUCCESS || code == MOSQ_ERR_NO_CONN) {
            accepted(id, number);
        } else {
            say("refused %ld %s", number, mosquitto_strerror(code));
        }
    }
    return 0;
}

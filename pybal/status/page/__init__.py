"""The status page for people: tables that are whole without JavaScript, which only renews and filters them."""

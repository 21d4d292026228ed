"""Update rules: how losses become one step."""

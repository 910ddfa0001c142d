// Shows the interface's description; a file of its own, because the page allows no inline script.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#interface", deepLinking: true, validatorUrl: null });
